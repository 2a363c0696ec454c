"""Measure speed and memory, and write results/bench/<host>.json and .md; what was measured before stays in them.

python scripts/bench.py                                   all, on a machine that is otherwise idle: an hour
python scripts/bench.py --only rows --rows mnist cifar10  an epoch against the limit and the plain way
python scripts/bench.py --gpu                             what a GPU is asked for: the suite's minutes, and the rows
python scripts/bench.py --gpu --random-data --no-plain --rounds 2   the same in minutes, and without any data
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmark import growth, memory, parts, rows, startup, suite, table, training
from l2m import UserError
from l2m.records.provenance import device_name, now, provenance
from l2m.training.device import choose_device, keep_memory

NEED_DATA = ("bf16", "start", "sweeps", "checkpoints")
"""Sections that train runs from their files."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=table.SECTIONS, metavar="WHAT",
                        help=f"of {', '.join(table.SECTIONS)}; all but suite where nothing is said")  # fmt: skip
    parser.add_argument("--gpu", action="store_true", help="the same as --only suite rows groups; stop without a GPU")
    parser.add_argument("--rows", nargs="+", choices=rows.ROWS, default=list(rows.ROWS), metavar="ROW",
                        help="data sets, for suite, rows, memory and checkpoints")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="at least 2; the suite times at most 3 epochs")
    parser.add_argument("--random-data", action="store_true",
                        help="random numbers of the rows' shapes and sizes: nothing is read or downloaded")  # fmt: skip
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain way, which takes longest")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda, as for runs")
    parser.add_argument("--host", default=platform.node(), help="what the files are called")
    parser.add_argument("--folder", type=Path, default=Path("results/bench"))
    options = parser.parse_args(arguments)
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds} must be at least 2: quartiles need two")
    if options.gpu and not torch.cuda.is_available():
        parser.error("--gpu needs a GPU that torch can see, and there is none; --only suite times the CPU")

    device, random = options.device, options.random_data
    left_out = ("suite", *(NEED_DATA if random else ()))
    whats = ["suite", "rows", "groups"] if options.gpu else [what for what in table.SECTIONS if what not in left_out]
    whats = options.only or whats
    if random and (needing := [what for what in whats if what in NEED_DATA]):
        parser.error(f"--random-data cannot measure {', '.join(needing)}, which train runs from files: leave out one")

    keep_memory()
    chosen = choose_device(device)
    file = options.folder / f"{options.host}.json"
    here = {"machine": f"{_processor()}, {os.cpu_count()} cores, {device_name(chosen)}", "torch": torch.__version__}
    figures = json.loads(file.read_text()) if file.exists() else {}
    if other := [f"{figures[what]}, not {here[what]}" for what in here if figures.get(what, here[what]) != here[what]]:
        parser.error(f"{file} was measured on {', '.join(other)}: give --host another name, or remove it")
    figures |= here

    def stamp() -> dict[str, str | None]:
        return {"when": now(), "commit": provenance(chosen)["commit"]}

    def keep(what: str, measured: object, stamped: bool = True) -> None:
        """Write it down; ``stamped`` as measured whole, now."""
        figures[what] = measured
        if stamped:
            figures.setdefault("measured", {})[what] = stamp()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(figures, indent=1) + "\n")
        file.with_suffix(".md").write_text(table.page(figures))
        print(f"{what}: measured", flush=True)

    def keep_one(what: str, one: dict[str, object]) -> None:
        """Write down one of the entries, by row and strategy, that make up a section."""
        entries = {(each["row"], each["strategy"]): each for each in figures.get(what, [])}
        entries[one["row"], one["strategy"]] = one | {"measured": stamp()}
        keep(what, sorted(entries.values(), key=lambda each: rows.ROWS.index(each["row"])), stamped=False)

    try:
        if "suite" in whats:
            figures.get("measured", {}).pop("suite", None)  # which once was measured whole; now each row says when
            for row in options.rows:
                for one in suite.measured(row, min(3, options.rounds), device, random):
                    keep_one("suite", one)
                    seconds = ", ".join(f"{way} {each:.3g} s" for way, each in one["epoch"].items())
                    print(f"{row} {one['strategy']}: an epoch by {seconds}; in all {one['whole'] / 60:.3g} minutes")
        if "rows" in whats:
            for row in options.rows:
                rounds = options.rounds * (2 if row in rows.SMALL else 1)
                one = rows.measured(row, rounds, device=device, random=random, plain=not options.no_plain)
                entries = figures.get("rows", {}) | {row: one | {"measured": stamp()}}
                keep("rows", {name: entries[name] for name in rows.ROWS if name in entries}, stamped=False)
        if "parts" in whats:
            keep("parts", [parts.measured(row, device, random) for row in parts.EPOCHS])
        if "bf16" in whats:
            keep("bf16", training.bf16("mnist", 10, [0, 1, 2], device))
        if "memory" in whats:
            for row in options.rows:
                for strategy in ("learn2mix", "smote") if row in ("mnist", "cifar100") else ("learn2mix",):
                    one = memory.measured(row, strategy, device=device, random=random)
                    keep_one("memory", {"row": row, "strategy": strategy} | one)
        if "start" in whats:
            keep("start", [*startup.measured(5, device), *startup.regression(3, device)])
        if "sweeps" in whats:
            keep("sweeps", startup.side_by_side(options.rounds, device))
        if "samples" in whats:
            keep("samples", growth.by_samples(device))
        if "groups" in whats:
            keep("groups", growth.by_groups(options.rounds, device=device))
        if "checkpoints" in whats:
            measured = [row for row in options.rows if row in ("mnist", "mean_estimation")]
            keep("checkpoints", [training.checkpoint(row, device=device) for row in measured])
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"table: {file.with_suffix('.md')}")


def _processor() -> str:
    """The processor's name, as the kernel tells it."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
