"""Experiments that are not in the tables: their runs, and figures of a row's test metric as one of its settings varies.

Runs belong to an experiment of a row if they differ from the row's configuration in that setting alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2m.config.description import settings
from l2m.paper import imbalance, published
from l2m.paper.other_settings import VARIED, alternatives, pair, varied_names
from l2m.paper.published import Printed
from l2m.paper.rows import ALL, ROWS, Row
from l2m.report import drawing
from l2m.report.runs import CHECKPOINTS, EPOCHS, Runs
from l2m.report.statistics import half_width

Values = Mapping[str, "pd.Series[float]"]
"""By the value of the varied setting: a metric by seed, in % or as an error."""

TITLES = {
    "mixing_rate": "The mixing rate",
    "cadence": "When proportions move",
    "settings": "Which settings come closest to the paper's numbers?",
    "imbalance_and_rate": "How much imbalance, and at which learning rate?",
}
"""The titles of the figures, by file name."""

SIGNS = "Points: mean over seeds and its 95 % t-interval; dashes beside: single seeds."


def figures(all_runs: Sequence[Runs]) -> dict[str, Figure | None]:
    """By file name, the figure of each experiment; None where its runs are missing."""
    return {
        "mixing_rate": mixing_rate(all_runs),
        "cadence": cadence(all_runs),
        "settings": other_settings(all_runs),
        "imbalance_and_rate": imbalance.figure(all_runs),
    }


def runs(all_runs: Sequence[Runs]) -> dict[str, list[Runs]]:
    """By the file name of its figure, an experiment's runs: ``subject`` is their panel, ``label`` what varies there."""
    found: dict[str, dict[tuple[str, str], Runs]] = {name: {} for name in TITLES}  # by panel and label
    for row in ALL:
        for name in ("mixing_rate", "cadence"):
            if len(series := varied(row, all_runs, f"strategy.{name}")) > 1:
                words = name.replace("_", " ")
                found[name] |= {(row.title, f"{words} {value}"): run for value, run in series.items()}
                found[name] |= {(row.title, s): run for s, run in row.runs(all_runs).items() if s == "classical"}
        for one in alternatives(row, all_runs):
            panel = f"{row.title}: {', '.join(varied_names(row))}"
            for strategy in pair(row):
                run = one.runs[strategy]
                values = [word(run.settings[key]) for key in VARIED[row.name] if key in run.settings]
                epochs = run.settings["epochs"]
                if epochs != published.settings(row.name)["epochs"]:
                    values.append(f"({epochs} epochs)")
                found["settings"][panel, " ".join([strategy, *values])] = run
    for place, run in imbalance.grid(all_runs).items():
        panel = f"Learning rate {place.rate:g}, imbalance {place.ratio}:1, {run.settings['epochs']} epochs"
        found["imbalance_and_rate"][panel, place.strategy] = run
    return {
        name: [replace(run, subject=panel, label=label) for (panel, label), run in made.items()]
        for name, made in found.items()
    }


def varied(row: Row, all_runs: Sequence[Runs], key: str) -> dict[str, Runs]:
    """By the value as text, learn2mix's runs that differ from the row's in ``key`` alone: rising, or its own first."""
    wanted = settings(row.configurations["learn2mix"])
    values = {run.settings[key]: run for run in all_runs if run.settings | {key: None} == wanted | {key: None}}
    order = sorted(values) if isinstance(wanted[key], float) else sorted(values, key=lambda value: value != wanted[key])
    return {word(value): values[value] for value in order}


def word(value: object) -> str:
    """A setting's value, short enough for five to stand side by side on an axis, which breaks it at its spaces."""
    words = {"none": "plain", "standard": "augm.", "True": "yes", "False": "no"}
    if isinstance(value, float):
        return f"{value:.0e}".replace("e-0", "e-") if 0 < value < 0.01 else f"{value:g}"
    return words.get(str(value), str(value).replace("_", " "))


def mixing_rate(all_runs: Sequence[Runs]) -> Figure | None:
    """Test metric at E against γ, a panel a row; the row's own γ is filled, its classical training a line."""
    rates = {row: varied(row, all_runs, "strategy.mixing_rate") for row in ROWS}
    rows = [row for row, series in rates.items() if len(series) > 1]
    if not rows:
        return None
    figure, axes = drawing.panels(len(rows), 3)
    for place, row in zip(axes, rows, strict=True):
        own = word(row.configurations["learn2mix"].strategy["mixing_rate"])
        against(place, {"learn2mix": {name: run.at(1.0) for name, run in rates[row].items()}}, {}, own)
        place.set_ylabel(drawing.metric(next(iter(rates[row].values()))))
        classical = row.runs(all_runs).get("classical")
        if classical:
            colour, dashes = drawing.STYLES["classical"]
            place.axhline(classical.at(1.0).mean(), color=colour, linestyle=dashes, linewidth=1.1)
        place.set(title=row.title, xlabel="mixing rate γ")
    drawing.legend(figure, ("learn2mix", "classical"))
    return drawing.note(figure, f"Test metric at E. {SIGNS} Filled: the paper's rate for the row.")


def cadence(all_runs: Sequence[Runs]) -> Figure | None:
    """Learn2mix's test metric at .25E, .5E and E when its proportions move otherwise."""
    rows = {}
    for row in ROWS:
        if len(series := varied(row, all_runs, "strategy.cadence")) > 1:
            shares = [{"learn2mix": {name: run.at(share) for name, run in series.items()}} for share in CHECKPOINTS]
            rows[row] = drawing.metric(next(iter(series.values()))), "cadence", shares
    return checkpoints(rows)


def other_settings(all_runs: Sequence[Runs]) -> Figure | None:
    """Test metric at .25E, .5E and E under the settings of :data:`~l2m.paper.other_settings.VARIED`."""
    rows = {}
    for row in ALL:
        if made := sorted(alternatives(row, all_runs), key=lambda one: one.setting):
            differ = [i for i in range(len(made[0].setting)) if len({one.setting[i] for one in made}) > 1]
            varies = ", ".join(varied_names(row)[i] for i in differ)
            names = {one.setting: "\n".join(word(one.setting[i]) for i in differ) for one in made}
            shares = [
                {s: {names[one.setting]: one.values[s, i] for one in made if (s, i) in one.values} for s in pair(row)}
                for i in range(len(CHECKPOINTS))
            ]
            rows[row] = drawing.metric(made[0].runs["learn2mix"]), varies, shares
    return checkpoints(rows)


def checkpoints(rows: Mapping[Row, tuple[str, str, Sequence[Mapping[str, Values]]]]) -> Figure | None:
    """A line of panels a row, one a checkpoint: means by setting, of each strategy, beside the paper's mean ± sd.

    ``rows`` gives each row the name of its metric, what varies and, by checkpoint and strategy, the values.
    """
    if not rows:
        return None
    figure, axes = drawing.panels(3 * len(rows), 3)
    for line, (row, (label, varies, shares)) in enumerate(rows.items()):
        printed = published.cells(row.name)
        for i, series in enumerate(shares):
            place = axes[3 * line + i]
            place.set_title(f"{row.title}, {EPOCHS[i]}")
            if any(series.values()):
                against(place, series, {s: printed[s][i] for s in series if s in printed})
                place.set_ylabel(label)
                place.set_xlabel(varies, fontsize=6)
            else:
                place.set_axis_off()
                place.text(0.5, 0.5, "not run so far", ha="center", transform=place.transAxes)
    drawing.legend(figure, list(dict.fromkeys(s for *_, shares in rows.values() for s in shares[0])))
    return drawing.note(figure, f"{SIGNS} Lines in bands: the paper's mean ± sd.")


def against(axes: Axes, series: Mapping[str, Values], paper: Mapping[str, Printed], own: str = "") -> None:
    """Means with 95 % t-intervals and each seed beside them, by setting, over a band of the paper's mean ± sd.

    With ``own``, the means of all other settings are hollow.
    """
    names = list(dict.fromkeys(name for by_setting in series.values() for name in by_setting))
    for i, (strategy, by_setting) in enumerate(series.items()):
        colour, _ = drawing.STYLES[strategy]
        for name, values in by_setting.items():
            place = names.index(name) + 0.24 * (i - (len(series) - 1) / 2)
            mean, width = float(values.mean()), half_width(values)
            axes.plot([place + 0.1] * values.size, values, "_", color=colour, markersize=3, alpha=0.5)
            face = colour if own in ("", name) else "white"
            axes.errorbar(
                place, mean, width, fmt="o", color=colour, markersize=3.5, markerfacecolor=face, linewidth=0.9
            )
        if number := paper.get(strategy):
            sd = number.sd or 0.0
            axes.axhspan(number.mean - sd, number.mean + sd, color=colour, alpha=0.12, linewidth=0)
            axes.axhline(number.mean, color=colour, linewidth=0.5)
    ticks = [name.replace(" ", "\n") for name in names]
    axes.set_xticks(range(len(names)), ticks, fontsize=6 if len(names) < 5 else 5)
    axes.set_xlim(-0.5, len(names) - 0.5)
