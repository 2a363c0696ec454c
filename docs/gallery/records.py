"""The committed records of California Housing, read with pandas alone: what batches are made of, and the test error."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import yaml

runs = Path(__file__).resolve().parents[2] / "results" / "runs" / "california_housing"
errors, groups = {}, []
for folder in sorted(runs.glob("*/seed*")):
    strategy = yaml.safe_load((folder / "config.yaml").read_text())["strategy"]
    name = "stratified" if strategy.get("batches") == "stratified" else strategy["name"]
    if name in ("classical", "balanced", "learn2mix"):
        errors.setdefault(name, []).append(pd.read_csv(folder / "metrics.csv", index_col="epoch")["test_metric"])
    if name == "learn2mix":
        groups.append(pd.read_csv(next(folder.glob("groups.csv*"))))  # long tables are packed as .gz

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
shares = pd.concat(groups).pivot_table(index="epoch", columns="name", values="proportion")
left.stackplot(shares.index, shares.T, labels=shares.columns, colors=plt.get_cmap("cividis")([0.1, 0.4, 0.65, 0.95]))
left.set(xlabel="epoch", ylabel="share of a batch", xlim=(1, shares.index[-1]), ylim=(0, 1))
left.legend(fontsize="small", loc="lower right")
for name in ("classical", "balanced", "learn2mix"):
    mean = pd.concat(errors[name], axis=1).mean(axis=1)
    right.plot(mean, label=name, color={"classical": "black", "balanced": "C4", "learn2mix": "C0"}[name])
    print(f"{name:10} {len(errors[name])} seeds, error {mean.iloc[299]:.2f} after 300 epochs, {mean.iloc[-1]:.2f} at E")
print(shares.loc[[1, 300, shares.index[-1]]].round(2).to_string())
right.set(xlabel="epoch", ylabel="test error in (100 000 $)²", yscale="log")
right.minorticks_off()
right.set_yticks([1, 2, 5], ["1", "2", "5"])
right.legend()
figure.savefig("records.png", dpi=150)
