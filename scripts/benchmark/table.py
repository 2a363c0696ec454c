"""The measurements of a machine, as a page of Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmark import suite

MIB = 2**20


def format_page(figures: Mapping[str, Any]) -> str:
    """All sections measured on a machine; missed targets are in bold."""
    lines = [
        f"# Speed and memory on {figures['machine']}",
        "",
        f"torch {figures['torch']}. Written by `make bench`{_stamps(figures.get('measured', {}))}.",
        "",
        "A ratio is a median over rounds, with quartiles; in each round both sides ran in turns in one process. Missed "
        "targets are in bold.",
        "",
    ]
    for key, write in SECTIONS.items():
        if key in figures:
            lines += [*write(figures[key]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _stamps(stamps: Mapping[str, Mapping[str, Any]]) -> str:
    """Day and commit of each section; sections that are measured row by row have theirs in each row."""
    sections: dict[str, list[str]] = {}
    for section in SECTIONS:
        if section in stamps:
            sections.setdefault(_stamp(stamps[section]), []).append(section)
    return "".join(f"; {', '.join(names)} {stamp}" for stamp, names in sections.items())


def _stamp(stamp: Mapping[str, Any]) -> str:
    commit = stamp["commit"]
    return f"{stamp['when'][:10]} at {commit[:8] if commit else 'an unknown commit'}"


def _rows(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    seconds = ("learn2mix", "learn2mix training", "evaluation", "limit", "plain learn2mix")
    by_precision = ("learn2mix bf16", "learn2mix tf32")
    epochs = _section(
        "An epoch, row by row",
        "The limit is as many bare steps on one batch. The plain way is a shuffled DataLoader, and evaluates the "
        "training set too. Seconds are medians. Data are real unless stated otherwise. – was not measured.",
        ["row", "steps", "threads", "epoch", "training", "evaluation", "limit", "plain", "steps/s", "epoch bf16",
         "epoch tf32", "measured"],
        (
            [
                _label(name, row["data"]), str(row["steps"]), str(row["threads"]),
                *(_number(row["seconds"].get(of)) for of in seconds), _number(row["steps a second"]),
                *(_number(row["seconds"].get(of)) for of in by_precision), _stamp(row["measured"]),
            ]
            for name, row in rows.items()
        ),
    )  # fmt: skip
    ratios = {name: {f"{one['of']} / {one['to']}": _ratio(one) for one in row["ratios"]} for name, row in rows.items()}
    head = list(dict.fromkeys(title for own in ratios.values() for title in own))
    return [*epochs, "", *_table(["row", *head], ([name, *(own.get(each, "–") for each in head)]
                                                  for name, own in ratios.items()))]  # fmt: skip


def _ratio(measured: Mapping[str, Any]) -> str:
    low, high = measured["quartiles"]
    text = f" ({low:.3g} to {high:.3g})"
    return _against(measured["median"], measured.get("asked"), text, bool(measured.get("at least")))


def _parts(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return _section(
        "Where an epoch goes",
        "Milliseconds of an epoch of learn2mix. Bare steps repeat one batch, which stays in the caches.",
        ["row", "steps", *measured[0]["seconds"]],
        (
            [one["row"], str(one["steps"]), *(f"{1000 * value:.3g}" for value in one["seconds"].values())]
            for one in measured
        ),
    )


def _bf16(measured: Mapping[str, Any]) -> list[str]:
    return _section(
        "What bf16 does to accuracy",
        f"{measured['row']}, learn2mix, seeds {measured['seeds']}: test metric after {measured['epochs']} epochs.",
        ["seed", "fp32", "bf16"],
        (
            [str(seed), *(f"{value:.4f}" for value in pair)]
            for seed, pair in zip(measured["seeds"], measured["pairs"], strict=True)
        ),
    )


def _memory(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return _section(
        "Peak memory",
        "MiB of a process beyond its imports, or of a GPU, against what it must hold: the peak until the data were "
        "loaded, until the strategy was prepared, and of the whole run. Median of three processes.",
        ["row", "strategy", *measured[0]["stages"], "peak", *measured[0]["parts"], "peak / their sum", "measured"],
        (
            [
                _label(one["row"], one["data"]), one["strategy"],
                *(f"{value / MIB:.0f}" for value in (*one["stages"].values(), one["peak"], *one["parts"].values())),
                _against(one["of"], one["asked"]), _stamp(one["measured"]),
            ]
            for one in measured
        ),
    )  # fmt: skip


def _start(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return _section(
        "Seconds of a command",
        "",
        ["what", "median", "least", "most"],
        (
            [one["of"],
             _against(one["seconds"]["median"], one["asked"]) + (f", goal {one['goal']:g}" if "goal" in one else ""),
             *(_number(one["seconds"][key]) for key in ("least", "most"))]
            for one in measured
        ),
    )  # fmt: skip


def _sweeps(measured: Mapping[str, Any]) -> list[str]:
    sides = f"{measured['of']} / by {measured['to']}"
    return ["## Runs side by side", "", f"Four runs of MNIST {sides}: {_ratio(measured)}."]


def _together(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return _section(
        "Runs together",
        "How many times as fast an epoch of learn2mix is, a run, with so many runs in one stack.",
        ["row", "batch", "runs", "alone / together"],
        ([one["row"], str(one["batch"]), str(one["runs"]), _ratio(one)] for one in measured),
    )


def _compare(measured: Mapping[str, Any]) -> list[str]:
    seconds = measured["seconds"]
    text = f" ({seconds['least']:.3g} to {seconds['most']:.3g})"
    return [
        "## A comparison",
        "",
        "Seconds of `l2m compare opponents=[]` on a table of 6000 rows and 11 numbers, twelve strategies, all else by "
        f"default: {_against(seconds['median'], measured['asked'], text)}. Times as long with `together=1`: "
        f"{_ratio({**measured, 'asked': None})}.",
    ]


def _sampler(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    def seconds(one: Mapping[str, Any], sampler: str, part: str) -> str:
        times = [each[sampler][part] for each in one["measured"] if sampler in each]
        return f"{statistics.median(times):.3g} ({min(times):.3g} to {max(times):.3g})" if times else "cannot"

    return _section(
        "The sampler on large sets",
        "Seconds until the first batch of 1000, and of all batches of an epoch, from the time of 300 more: median, "
        "least and most. torch's `WeightedRandomSampler`, with equal shares of groups, draws from 2^24 at most.",
        ["samples", "groups", "first batch", "weighted", "epoch", "weighted", "peak MiB"],
        (
            [_count(one["samples"]), _count(one["groups"]),
             *(seconds(one, of, part) for part in ("first", "epoch") for of in ("ours", "weighted")),
             f"{statistics.median(each['peak'] for each in one['measured']) / MIB:.0f}"]
            for one in measured
        ),
    )  # fmt: skip


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _samples(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return _section(
        "As the training set grows",
        "An epoch of learn2mix on ten numbers a sample, 1000 samples a batch.",
        ["samples", "seconds a million", "peak MiB", "bytes a sample"],
        (
            [_count(one["samples"]), _number(one["seconds a million"]), f"{one['peak'] / MIB:.0f}",
             f"{one['bytes a sample']:.0f}"]
            for one in measured
        ),
    )  # fmt: skip


def _storage(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return _section(
        "From a mapped file",
        "Training with learn2mix, with the file in the page cache, and without, when it is read from the disk.",
        ["samples", "file, MiB", "seconds in memory", "mapped / memory", "uncached / memory", "MiB read"],
        (
            [one["of"], f"{one['bytes'] / MIB:.0f}", _number(one["seconds"]), _ratio(one), _ratio(one["cold"]),
             f"{one['bytes read'] / MIB:.0f}"]
            for one in measured
        ),
    )  # fmt: skip


def _groups(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return _section(
        "As groups grow",
        "Training on 20 000 images of MNIST's shape, 1000 a batch.",
        ["groups", "learn2mix / classical"],
        ([str(one["groups"]), _ratio(one)] for one in measured),
    )


def _checkpoints(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return _section(
        "Checkpoints",
        "",
        ["row", "ms", "MB", "share of the run"],
        (
            [one["row"], f"{one['seconds'] * 1000:.1f}", f"{one['bytes'] / 1e6:.1f}",
             f"{one['share']:.5f}, target ≤ {one['asked']:g}"]
            for one in measured
        ),
    )  # fmt: skip


def _suite(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    minutes = sum(one["whole"] for one in measured) / 60
    ways = list(dict.fromkeys(way for one in measured for way in one["epoch"]))
    target = f", target ≤ {suite.MINUTES:g} on one GPU for twelve rows" if len(ways) > 1 else ""
    return _section(
        "The whole suite",
        f"Every epoch of the rows below, five seeds, from one epoch's seconds: {_number(minutes)} minutes{target}.",
        ["row", "strategy", "steps", *(f"epoch, {way}" for way in ways), "epochs", "five seeds, minutes", "measured"],
        (
            [
                _label(one["row"], one["data"]), one["strategy"], str(one["steps"]),
                *(_number(one["epoch"].get(way)) for way in ways), str(one["epochs"]), _number(one["whole"] / 60),
                _stamp(one["measured"]) if "measured" in one else "–",
            ]
            for one in measured
        ),
    )  # fmt: skip


SECTIONS: dict[str, Callable[[Any], list[str]]] = {
    "rows": _rows,
    "parts": _parts,
    "bf16": _bf16,
    "memory": _memory,
    "start": _start,
    "sweeps": _sweeps,
    "together": _together,
    "compare": _compare,
    "sampler": _sampler,
    "samples": _samples,
    "storage": _storage,
    "groups": _groups,
    "checkpoints": _checkpoints,
    "suite": _suite,
}
"""The sections that can be measured, in the order of the page."""


def _section(title: str, text: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"## {title}", "", *([text, ""] if text else []), *_table(head, rows)]


def _label(row: str, data: str) -> str:
    return row if data == "real" else f"{row} ({data})"


def _against(value: float, target: float | None, more: str = "", at_least: bool = False) -> str:
    """A value with ``more`` behind it, in bold if it misses its target, and the target."""
    text = f"{value:.3g}{more}"
    if target is None:
        return text
    is_met = value >= target if at_least else value <= target
    return f"{text if is_met else f'**{text}**'}, target {'≥' if at_least else '≤'} {target:g}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
