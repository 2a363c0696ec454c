"""Measure speed and memory, and write results/bench/<host>.json and .md; what was measured before stays in them.

python scripts/bench.py                                   all, on a machine that is otherwise idle: an hour
python scripts/bench.py --only rows --rows mnist cifar10  an epoch against the limit and the plain way
python scripts/bench.py --gpu                             what a GPU is asked for: the suite's minutes, and the rows
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import torch

from l2m import UserError
from l2m.benchmark import growth, memory, parts, rows, startup, suite, table, training
from l2m.device import choose_device, device_name, keep_memory
from l2m.provenance import now, provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=table.SECTIONS, metavar="WHAT",
                        help=f"of {', '.join(table.SECTIONS)}; all but suite where nothing is said")  # fmt: skip
    parser.add_argument("--gpu", action="store_true", help="the same as --only suite rows groups; stop without a GPU")
    parser.add_argument("--rows", nargs="+", choices=rows.ROWS, default=list(rows.ROWS), metavar="ROW",
                        help="data sets, for rows, memory and checkpoints")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="at least 2")
    parser.add_argument("--host", default=platform.node(), help="what the files are called")
    parser.add_argument("--folder", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds} must be at least 2: quartiles need two")

    if options.gpu and not torch.cuda.is_available():
        parser.error("--gpu needs a GPU that torch can see, and there is none; --only suite times the CPU")
    whats = ["suite", "rows", "groups"] if options.gpu else [what for what in table.SECTIONS if what != "suite"]
    whats = options.only or whats

    keep_memory()
    device = choose_device("auto")
    file = options.folder / f"{options.host}.json"
    here = {"machine": f"{_processor()}, {os.cpu_count()} cores, {device_name(device)}", "torch": torch.__version__}
    figures = json.loads(file.read_text()) if file.exists() else {}
    if other := [f"{figures[what]}, not {here[what]}" for what in here if figures.get(what, here[what]) != here[what]]:
        parser.error(f"{file} was measured on {', '.join(other)}: give --host another name, or remove it")
    figures |= here

    def stamp() -> dict[str, str]:
        return {"when": now(), "commit": provenance(device)["commit"]}

    def keep(what: str, told: object, stamped: bool = True) -> None:
        """Write it down; ``stamped`` as measured whole, now."""
        figures[what] = told
        if stamped:
            figures.setdefault("measured", {})[what] = stamp()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(figures, indent=1) + "\n")
        file.with_suffix(".md").write_text(table.page(figures))
        print(f"{what}: measured", flush=True)

    try:
        if "suite" in whats:
            told = []
            for row in options.rows:
                for one in suite.measured(row):
                    told.append(one)
                    seconds = ", ".join(f"{way} {each:.3g} s" for way, each in one["epoch"].items())
                    print(f"{row} {one['strategy']}: an epoch by {seconds}; in all {one['whole'] / 60:.3g} minutes")
            keep("suite", told)
        if "rows" in whats:
            for row in options.rows:
                rounds = options.rounds * (2 if row in rows.SMALL else 1)
                known = figures.get("rows", {}) | {row: rows.measured(row, rounds) | {"measured": stamp()}}
                keep("rows", {name: known[name] for name in rows.ROWS if name in known}, stamped=False)
        if "parts" in whats:
            keep("parts", [parts.measured(row) for row in parts.EPOCHS])
        if "bf16" in whats:
            keep("bf16", training.bf16("mnist", 10, [0, 1, 2]))
        if "memory" in whats:
            pairs = [(row, strategy) for row in options.rows for strategy in ("learn2mix", "smote")
                     if strategy == "learn2mix" or row in ("mnist", "cifar100")]  # fmt: skip
            for row, strategy in pairs:
                one = {"row": row, "strategy": strategy} | memory.measured(row, strategy) | {"measured": stamp()}
                known = {(each["row"], each["strategy"]): each for each in figures.get("memory", [])}
                known[row, strategy] = one
                keep("memory", sorted(known.values(), key=lambda each: rows.ROWS.index(each["row"])), stamped=False)
        if "start" in whats:
            keep("start", [*startup.measured(5), *startup.regression(3)])
        if "sweeps" in whats:
            keep("sweeps", startup.side_by_side(options.rounds))
        if "samples" in whats:
            keep("samples", growth.by_samples())
        if "groups" in whats:
            keep("groups", growth.by_groups(options.rounds))
        if "checkpoints" in whats:
            keep(
                "checkpoints", [training.checkpoint(row) for row in options.rows if row in ("mnist", "mean_estimation")]
            )
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
