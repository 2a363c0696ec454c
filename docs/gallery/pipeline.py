"""An estimator in scikit-learn's pipeline, cross-validated beside two of scikit-learn's own on rare tumours."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from l2m.sklearn import Learn2MixClassifier

x, y = load_breast_cancer(return_X_y=True)
kept = (y == 1) | (np.arange(len(y)) % 10 == 0)  # all benign tumours, a tenth of the malignant ones
x, malignant = x[kept], 1 - y[kept]
print(f"{malignant.sum()} malignant tumours among {len(malignant)}")
estimators = {
    "logistic regression": LogisticRegression(),
    "balanced logistic regression": LogisticRegression(class_weight="balanced"),
    "classical training": Learn2MixClassifier(strategy="classical", epochs=30, random_state=0),
    "learn2mix": Learn2MixClassifier(mixing_rate=0.1, epochs=30, random_state=0),
}
folds = StratifiedKFold(5, shuffle=True, random_state=0)
scoring = ["recall", "balanced_accuracy", "average_precision"]
figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
for place, (name, estimator) in enumerate(estimators.items()):
    scores = cross_validate(make_pipeline(StandardScaler(), estimator), x, malignant, cv=folds, scoring=scoring)
    means = [scores[f"test_{each}"].mean() for each in scoring]
    print(f"{name:28}", *(f"{each} {mean:.2f}" for each, mean in zip(scoring, means, strict=True)))
    axes.bar(np.arange(3) + place / 5, means, 0.2, label=name)
axes.set(ylabel="mean of five folds", ylim=(0, 1.3), yticks=np.linspace(0, 1, 6))
axes.set_xticks(np.arange(3) + 0.3, [each.replace("_", " ") for each in scoring])
axes.legend(ncols=2, fontsize="small", loc="upper center")
figure.savefig("pipeline.png", dpi=150)
