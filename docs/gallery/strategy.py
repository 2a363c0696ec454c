"""A strategy of one's own, in the folder mine/, against two of the suite's on the same seeds."""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import l2m

results, mine = tempfile.mkdtemp(), Path(__file__).with_name("mine")
figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
for strategy in ("classical", "learn2mix", "hardest"):
    words = ["dataset=digits", f"strategy={strategy}", "epochs=10", f"results_dir={results}"]
    records = [l2m.train(l2m.compose(*words, f"seed={seed}", config_dir=mine)) for seed in (0, 1)]
    curve = pd.concat([each.metrics.set_index("epoch")["test_metric"] for each in records], axis=1).mean(axis=1)
    worst = sum(each.metrics["worst_group"].iloc[-1] for each in records) / 2
    print(f"{strategy:9} accuracy {curve.iloc[-1]:.2f}, of the worst digit {worst:.2f}")
    axes.plot(curve, label=strategy)
axes.set(xlabel="epoch", ylabel="test accuracy", ylim=(0, 1))
axes.legend(loc="lower right")
figure.savefig("strategy.png", dpi=150)
