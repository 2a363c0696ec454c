"""The figures of a machine, as a page of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmark import suite

MIB = 2**20


def page(figures: Mapping[str, Any]) -> str:
    """All that was measured; a bound that was asked and not met is bold."""
    lines = [
        f"# Speed and memory on {figures['machine']}",
        "",
        f"torch {figures['torch']}. Written by `make bench`{_measured(figures.get('measured', {}))}.",
        "",
        "A ratio is the median over rounds in which its two sides ran in turns in one process, with quartiles. What",
        "was asked and not met is bold.",
        "",
    ]
    for key, write in SECTIONS.items():
        if key in figures:
            lines += [*write(figures[key]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _measured(stamps: Mapping[str, Mapping[str, Any]]) -> str:
    """Which section was last measured at which commit, and on which day; those that are row by row tell it there."""
    at: dict[str, list[str]] = {}
    for what in SECTIONS:
        if what in stamps:
            at.setdefault(_stamp(stamps[what]), []).append(what)
    return "".join(f"; {', '.join(whats)} {place}" for place, whats in at.items())


def _stamp(stamp: Mapping[str, Any]) -> str:
    commit = stamp["commit"]
    return f"{stamp['when'][:10]} at {commit[:8] if commit else 'an unknown commit'}"


def _rows(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["## An epoch, row by row", ""]
    lines += [
        "The limit is as many bare steps on one batch that is there; the plain way is a shuffled DataLoader, and the",
        "training set evaluated too. Seconds are medians; data are real unless said otherwise. – was not measured.",
        "",
    ]
    lines += _table(
        ["row", "steps", "threads", "epoch", "training", "evaluation", "limit", "plain", "steps/s", "epoch bf16",
         "epoch tf32", "measured"],
        (
            [
                name + ("" if row["data"] == "real" else f" ({row['data']})"),
                str(row["steps"]), str(row["threads"]),
                *(_number(row["seconds"].get(of)) for of in ("learn2mix", "learn2mix training", "evaluation", "limit",
                                                            "plain learn2mix")),
                _number(row["steps a second"]),
                *(_number(row["seconds"].get(f"learn2mix {precision}")) for precision in ("bf16", "tf32")),
                _stamp(row["measured"]),
            ]
            for name, row in rows.items()
        ),
    )  # fmt: skip
    lines.append("")
    ratios = {name: {f"{one['of']} / {one['to']}": _ratio(one) for one in row["ratios"]} for name, row in rows.items()}
    head = list(dict.fromkeys(title for own in ratios.values() for title in own))
    return lines + _table(
        ["row", *head], ([name, *(own.get(title, "–") for title in head)] for name, own in ratios.items())
    )


def _ratio(told: Mapping[str, Any]) -> str:
    low, high = told["quartiles"]
    text = f"{told['median']:.3g} ({low:.3g} to {high:.3g})"
    asked = told.get("asked")
    if asked is None:
        return text
    met = told["median"] >= asked if told.get("at least") else told["median"] <= asked
    return f"{text if met else f'**{text}**'}, asked {'≥' if told.get('at least') else '≤'} {asked:g}"


def _parts(told: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "## Where an epoch goes", "",
        "Milliseconds of an epoch of learn2mix. Bare steps are on one batch, one after another, with all they need in",
        "the caches.", "",
        *_table(
            ["row", "steps", *told[0]["seconds"]],
            (
                [one["row"], str(one["steps"]), *(f"{1000 * value:.3g}" for value in one["seconds"].values())]
                for one in told
            ),
        ),
    ]  # fmt: skip


def _bf16(told: Mapping[str, Any]) -> list[str]:
    lines = ["## What bf16 does to accuracy", ""]
    lines += [f"{told['row']}, learn2mix, {told['epochs']} epochs, seeds {told['seeds']}: test metric at the end.", ""]
    return lines + _table(
        ["seed", "fp32", "bf16"],
        (
            [str(seed), *(f"{value:.4f}" for value in pair)]
            for seed, pair in zip(told["seeds"], told["pairs"], strict=True)
        ),
    )


def _memory(told: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = list(told[0]["parts"])
    return [
        "## Peak memory", "",
        "MiB of a process beyond what it has once everything is imported, against what it has to hold: the most once",
        "the data are loaded, once the strategy has prepared itself, and at all; of three processes, the median. On a",
        "GPU, of its memory.", "",
        *_table(
            ["row", "strategy", *told[0]["stages"], "peak", *parts, "peak / their sum", "measured"],
            (
                [
                    one["row"] + ("" if one["data"] == "real" else f" ({one['data']})"), one["strategy"],
                    *(f"{value / MIB:.0f}" for value in (*one["stages"].values(), one["peak"], *one["parts"].values())),
                    _bound(one["of"], one["asked"]), _stamp(one["measured"]),
                ]
                for one in told
            ),
        ),
    ]  # fmt: skip


def _start(told: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "## Seconds of a command", "",
        *_table(
            ["what", "median", "least", "most"],
            (
                [one["of"], _bound(one["seconds"]["median"], one["asked"])
                 + (f", goal {one['goal']:g}" if "goal" in one else ""),
                 *(_number(one["seconds"][key]) for key in ("least", "most"))]
                for one in told
            ),
        ),
    ]  # fmt: skip


def _sweeps(told: Mapping[str, Any]) -> list[str]:
    return ["## Runs side by side", "", f"Four runs of MNIST {told['of']} / by {told['to']}: {_ratio(told)}."]


def _samples(told: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "## As the training set grows", "", "An epoch of learn2mix on ten numbers a sample, 1000 samples a batch.", "",
        *_table(
            ["samples", "seconds a million", "peak MiB", "bytes a sample"],
            (
                [f"{one['samples']:,}".replace(",", " "), _number(one["seconds a million"]), f"{one['peak'] / MIB:.0f}",
                 f"{one['bytes a sample']:.0f}"]
                for one in told
            ),
        ),
    ]  # fmt: skip


def _groups(told: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "## As groups grow", "", "Training on 20 000 images of MNIST's shape, 1000 a batch.", "",
        *_table(["groups", "learn2mix / classical"], ([str(one["groups"]), _ratio(one)] for one in told)),
    ]  # fmt: skip


def _checkpoints(told: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "## Checkpoints", "",
        *_table(
            ["row", "ms", "MB", "share of the run"],
            (
                [one["row"], f"{one['seconds'] * 1000:.1f}", f"{one['bytes'] / 1e6:.1f}",
                 f"{one['share']:.5f}, asked ≤ {one['asked']:g}"]
                for one in told
            ),
        ),
    ]  # fmt: skip


def _suite(told: Sequence[Mapping[str, Any]]) -> list[str]:
    minutes = sum(one["whole"] for one in told) / 60
    ways = list(dict.fromkeys(way for one in told for way in one["epoch"]))
    return [
        "## The whole suite", "",
        f"Every epoch of the rows below, five seeds, from one epoch's seconds: {_number(minutes)} minutes"
        + (f", asked ≤ {suite.MINUTES:g} on one GPU for twelve rows." if len(ways) > 1 else "."), "",
        *_table(
            ["row", "strategy", "steps", *(f"epoch, {way}" for way in ways), "epochs", "five seeds, minutes",
             "measured"],
            (
                [
                    one["row"] + ("" if one["data"] == "real" else f" ({one['data']})"), one["strategy"],
                    str(one["steps"]), *(_number(one["epoch"].get(way)) for way in ways), str(one["epochs"]),
                    _number(one["whole"] / 60), _stamp(one["measured"]) if "measured" in one else "–",
                ]
                for one in told
            ),
        ),
    ]  # fmt: skip


SECTIONS: dict[str, Callable[[Any], list[str]]] = {
    "rows": _rows,
    "parts": _parts,
    "bf16": _bf16,
    "memory": _memory,
    "start": _start,
    "sweeps": _sweeps,
    "samples": _samples,
    "groups": _groups,
    "checkpoints": _checkpoints,
    "suite": _suite,
}
"""What may be measured, in the order of the page."""


def _bound(value: float, asked: float | None) -> str:
    text = f"{value:.3g}"
    if asked is None:
        return text
    return f"{text if value <= asked else f'**{text}**'}, asked ≤ {asked:g}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
