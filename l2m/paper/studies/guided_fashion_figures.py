"""Figures of :mod:`l2m.paper.studies.guided_fashion`, its models and the numbers of the talk."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from l2m.report import drawing
from l2m.report.statistics import half_width

ORDINARY = ("baseline", "teacher", "all", "low", "high")
"""Models that are ordinary runs; the teacher of ``low`` and ``high`` is that of method 2."""

LEAKING = ("oracle teacher", "oracle low", "oracle high")
"""The models of method 1: the first is trained on the test set as well, the others are filtered by it."""

ALL_MODELS = (*ORDINARY, *LEAKING)

QUANTITIES = {
    "accuracy": ("test accuracy in %", 1),
    "nll": ("test NLL", 3),
    "weight_norm": ("weight norm", 2),
    "train_gradient": ("input gradient, training", 3),
    "test_gradient": ("input gradient, test", 3),
}
"""By name, the label of an axis and a mean's digits after the point."""

TALK: dict[str, dict[str, float]] = {
    "accuracy": {"baseline": 86.88, "teacher": 87.27, "oracle teacher": 93.29},
    "nll": {"baseline": 0.51, "teacher": 0.397, "oracle teacher": 0.245},
    "weight_norm": {
        "teacher": 19.0546,
        "all": 20.2883,
        "low": 19.9803,
        "oracle teacher": 18.7557,
        "oracle low": 19.9560,
    },
    "train_gradient": {"teacher": 0.7472, "all": 0.3144, "low": 0.3542, "oracle teacher": 0.7590, "oracle low": 0.3635},
}
"""The talk's numbers, slides Q1 and Q2; for all samples of method 1 it also has 20.2712 and 0.3177."""

COLOURS = {"baseline": "#000000", "teacher": "#0072B2", "all": "#E69F00", "low": "#009E73", "high": "#D55E00"}
"""By the last word of a model's name."""

SHOWN = ("accuracy", "nll", "weight_norm", "train_gradient")


def find_outliers(values: pd.Series[float], talk: Iterable[float] = ()) -> list[str]:
    """The high filter's students that are further from the other models and the talk's than those are apart."""
    high = [name for name in values.index if name.split()[-1] == "high"]
    rest = [*values.drop(high), *talk]
    return [name for name in high if not abs(2 * values[name] - max(rest) - min(rest)) <= 3 * (max(rest) - min(rest))]


def draw_ends(models: pd.DataFrame, clean: float) -> Figure:
    """Final numbers of each model: every seed, mean with 95 % t-interval, and the talk's number."""
    figure, panels = drawing.panels(len(SHOWN), 2)
    places = {name: -i - (name in LEAKING) * 0.5 for i, name in enumerate(ALL_MODELS)}
    for axes, quantity in zip(panels, SHOWN, strict=True):
        table = models[models["quantity"] == quantity].pivot(index="model", columns="seed", values="value")
        outliers = find_outliers(table.mean(axis=1), TALK[quantity].values())
        for name, y in places.items():
            values, colour = table.loc[name], COLOURS[name.split()[-1]]
            if name in outliers:
                number = f"{values.mean():.{QUANTITIES[quantity][1]}f}"
                below = values.mean() < table.loc["baseline"].mean()
                x, text = (0.02, f"← {number}") if below else (0.65, f"{number} →")
                axes.text(x, y, text, color=colour, transform=axes.get_yaxis_transform(), va="center")
                continue
            axes.plot(values, [y - 0.3] * len(values), "|", color=colour, markersize=3, alpha=0.6)
            half = half_width(table.loc[[name]]).fillna(0).iloc[0]
            axes.errorbar(values.mean(), y, xerr=half, fmt="o", color=colour, markersize=3.5, linewidth=0.9)
            if name in TALK[quantity]:
                axes.plot(TALK[quantity][name], y, "o", color=colour, **drawing.CIRCLE)
        axes.set_yticks(list(places.values()), list(places))
        axes.set_ylim(min(places.values()) - 0.5, 0.5)
        axes.set_xlabel(QUANTITIES[quantity][0])
        axes.axhline(-len(ORDINARY) + 0.25, color="#888888", linewidth=0.5, linestyle=":")
    for axes in panels[1::2]:
        axes.set_yticklabels([])
    handles = [
        Line2D([], [], color="#666666", marker="o", linestyle="none", markersize=3.5, label="mean, 95 % interval"),
        Line2D([], [], color="#666666", marker="|", linestyle="none", markersize=4, label="a seed"),
        Line2D([], [], color="#666666", marker="o", label="the talk", **drawing.CIRCLE),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1, handletextpad=0.3, borderpad=0)
    return drawing.note(
        figure,
        f"{models['seed'].nunique()} seeds; t-intervals. Below the dotted line the teacher has seen the test set "
        f"(method 1): these numbers leak. Clean samples' share of a student's loss: {clean:g}.",
    )


def draw_curves(table: pd.DataFrame, clean: float) -> Figure:
    """Test accuracy and NLL over epochs, mean over seeds, with the teacher of either method."""
    figure, panels = drawing.panels(4, 2)
    oracle = ("baseline", LEAKING[0], "all", *LEAKING[1:])
    for i, (column, label) in enumerate((("test_metric", "test accuracy in %"), ("test_loss", "test NLL"))):
        means = table.pivot_table(index="epoch", columns="model", values=column)
        means *= 100 if column == "test_metric" else 1
        for j, (title, names) in enumerate((("method 2: training set", ORDINARY), ("method 1: leaks", oracle))):
            axes = panels[2 * i + j]
            for name in names:
                axes.plot(means[name], color=COLOURS[name.split()[-1]], linewidth=1.0)
            outliers = find_outliers(means.iloc[-1][list(names)])
            title += "".join(f"\noff the axes: high, {means[name].iloc[-1]:.{3 * i or 1}f}" for name in outliers)
            settled = means.iloc[len(means) // 10 :][[name for name in names if name not in outliers]].to_numpy()
            margin = 0.05 * (settled.max() - settled.min())
            axes.set(xlabel="epoch", ylabel=label, title=title, ylim=(settled.min() - margin, settled.max() + margin))
    handles = [Line2D([], [], color=colour, linewidth=1.0, label=name) for name, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, columnspacing=1, handlelength=1.4, borderpad=0)
    return drawing.note(
        figure,
        f"Means over {table['seed'].nunique()} seeds; teacher, low and high are those of the method above. Axes fit "
        f"epochs after a tenth of E. Clean samples' share of a student's loss: {clean:g}.",
    )
