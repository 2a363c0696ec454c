"""Measure speed and memory, and write results/bench/<host>.json and .md.

Earlier measurements stay in these files.

python scripts/bench.py
    everything, on an idle machine: an hour
python scripts/bench.py --only rows --rows mnist cifar10
    an epoch against the limit and the plain way
python scripts/bench.py --gpu
    on a GPU: the minutes of the suite, and the rows
python scripts/bench.py --gpu --random-data --no-plain --rounds 2
    the same in minutes, and without any data
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

from benchmark import growth, memory, parts, rows, sampling, startup, storage, suite, table, together, training
from l2m import UserError
from l2m.files import write_whole
from l2m.records.provenance import device_name, now, provenance
from l2m.training.device import choose_device, keep_memory

NEED_DATA = ("bf16", "start", "sweeps", "checkpoints")
"""Sections that train runs from their files."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=table.SECTIONS, metavar="SECTION",
                        help=f"any of {', '.join(table.SECTIONS)} (default: all but suite)")  # fmt: skip
    parser.add_argument("--gpu", action="store_true", help="the same as --only suite rows groups, but needs a GPU")
    parser.add_argument("--rows", nargs="+", choices=rows.ROWS, default=list(rows.ROWS), metavar="ROW",
                        help="data sets, for suite, rows, memory and checkpoints")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="at least 2 (5); the suite times at most 3 epochs")
    parser.add_argument("--random-data", action="store_true",
                        help="random numbers of the rows' shapes and sizes: reads and downloads nothing")  # fmt: skip
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain way, which takes longest")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda, as for runs")
    parser.add_argument("--host", default=platform.node(), help="name of the files")
    parser.add_argument("--folder", type=Path, default=Path("results/bench"))
    options = parser.parse_args(arguments)
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds} must be at least 2: quartiles need two")
    if options.gpu and not torch.cuda.is_available():
        parser.error("--gpu needs a GPU that torch can see: use --only suite to time the CPU")

    device, random = options.device, options.random_data
    left_out = ("suite", *(NEED_DATA if random else ()))
    default = ["suite", "rows", "groups"] if options.gpu else [name for name in table.SECTIONS if name not in left_out]
    sections = options.only or default
    if random and (needing := [name for name in sections if name in NEED_DATA]):
        parser.error(f"--random-data cannot measure {', '.join(needing)}, which train runs from files: leave out one")

    keep_memory()
    try:
        chosen = choose_device(device)
    except UserError as error:
        parser.error(str(error))
    file = options.folder / f"{options.host}.json"
    machine = {"machine": f"{_processor()}, {os.cpu_count()} cores, {device_name(chosen)}", "torch": torch.__version__}
    figures = json.loads(file.read_text()) if file.exists() else {}
    if other := [f"{figures[key]}, not {value}" for key, value in machine.items() if figures.get(key, value) != value]:
        parser.error(f"{file} was measured on {', '.join(other)}: give --host another name, or remove it")
    figures |= machine

    def stamp() -> dict[str, str | None]:
        return {"when": now(), "commit": provenance(chosen)["commit"]}

    def write(section: str, measured: object, stamped: bool = True) -> None:
        """Write the files with a section, ``stamped`` if it was measured whole just now."""
        figures[section] = measured
        if stamped:
            figures.setdefault("measured", {})[section] = stamp()
        write_whole(file, f"{json.dumps(figures, indent=1)}\n".encode())
        write_whole(file.with_suffix(".md"), table.format_page(figures).encode())
        print(f"{section}: measured", flush=True)

    def write_entry(section: str, new: dict[str, object]) -> None:
        """Write one entry of a section that has one for each row and strategy."""
        entries = {(entry["row"], entry["strategy"]): entry for entry in figures.get(section, [])}
        entries[new["row"], new["strategy"]] = new | {"measured": stamp()}
        write(section, sorted(entries.values(), key=lambda entry: rows.ROWS.index(entry["row"])), stamped=False)

    try:
        if "suite" in sections:
            figures.get("measured", {}).pop("suite", None)  # older files have one stamp for the whole suite
            for row in options.rows:
                for entry in suite.measure(row, min(3, options.rounds), device, random):
                    write_entry("suite", entry)
                    seconds = ", ".join(f"{way} {value:.3g} s" for way, value in entry["epoch"].items())
                    print(f"{row} {entry['strategy']}: epoch by {seconds}; in all {entry['whole'] / 60:.3g} minutes")
        if "rows" in sections:
            for row in options.rows:
                rounds = options.rounds * (2 if row in rows.SMALL else 1)
                entry = rows.measure(row, rounds, device=device, random=random, plain=not options.no_plain)
                entries = figures.get("rows", {}) | {row: entry | {"measured": stamp()}}
                write("rows", {name: entries[name] for name in rows.ROWS if name in entries}, stamped=False)
        if "parts" in sections:
            write("parts", [parts.measure(row, device, random) for row in parts.EPOCHS])
        if "bf16" in sections:
            write("bf16", training.measure_bf16("mnist", 10, [0, 1, 2], device))
        if "memory" in sections:
            for row in options.rows:
                for strategy in ("learn2mix", "smote") if row in ("mnist", "cifar100") else ("learn2mix",):
                    entry = memory.measure(row, strategy, device=device, random=random)
                    write_entry("memory", {"row": row, "strategy": strategy} | entry)
        if "start" in sections:
            write("start", [*startup.measure(5, device), *startup.measure_regression(3, device)])
        if "sweeps" in sections:
            write("sweeps", startup.measure_side_by_side(options.rounds, device))
        if "together" in sections:
            write("together", together.measure(options.rounds, device, random))
        if "compare" in sections:
            write("compare", startup.measure_comparison(2))
        if "sampler" in sections:
            write("sampler", sampling.measure(min(3, options.rounds)))
        if "samples" in sections:
            write("samples", growth.measure_samples(device))
        if "storage" in sections:
            options.folder.mkdir(parents=True, exist_ok=True)
            write("storage", storage.measure(options.rounds, options.folder, device))
        if "groups" in sections:
            write("groups", growth.measure_groups(options.rounds, device=device))
        if "checkpoints" in sections:
            chosen_rows = [row for row in options.rows if row in ("mnist", "mean_estimation")]
            write("checkpoints", [training.measure_checkpoint(row, device=device) for row in chosen_rows])
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"table: {file.with_suffix('.md')}")


def _processor() -> str:
    """The processor's name, from the kernel."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
