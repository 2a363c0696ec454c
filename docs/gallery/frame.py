"""A comparison on a DataFrame: which strategy, and is any worth more than a linear model?"""

import contextlib
import sys
import tempfile

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine

import l2m

if __name__ == "__main__":
    wines = load_wine(as_frame=True).frame.rename(columns={"target": "cultivar"})
    wines = wines[(wines["cultivar"] != 2) | (wines.index % 4 == 0)]  # a quarter of the third cultivar
    with contextlib.redirect_stdout(sys.stderr):  # the progress of its runs
        report = l2m.compare(
            wines,
            "cultivar",
            strategies=["learn2mix", "balanced"],
            opponents=["logistic_regression_balanced"],
            epochs=60,
            seeds=2,
            held_out_parts=2,
            choose=False,  # the data set's rates; leave these four lines out for a real answer
            results_dir=tempfile.mkdtemp(),
        )
    means = {name: float(scores.mean()) for name, scores in report.held_out.items()}
    for name, mean in means.items():
        print(f"{name:28} balanced accuracy {mean:.2f} on held-out parts")
    print("advised:", report.recommended)
    figure, axes = plt.subplots(figsize=(8, 2.4), layout="constrained")
    axes.barh(list(means), list(means.values()))
    axes.set(xlabel="balanced accuracy on held-out parts", xlim=(0, 1))
    figure.savefig("frame.png", dpi=150)
