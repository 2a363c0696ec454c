"""Print a summary of a results folder, and draw it: ``python scripts/summary.py outputs/quickstart``."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from l2m.errors import exit_on_error, printable


@exit_on_error()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results_dir", type=Path, help="a folder that holds runs/")
    folder = parser.parse_args().results_dir

    from l2m.report import summary
    from l2m.report.runs import read_runs

    results = read_runs(folder)
    for problem in results.problems:
        print(f"warning: {problem}", file=sys.stderr)
    console = Console(highlight=False, markup=False, emoji=False)
    for table in summary.tables(results.runs):
        console.print(table)
        console.print()
    console.print(summary.CAPTION)
    file = folder / "summary.png"
    summary.figure(results.runs, file)
    print(f"figure: {printable(str(file))}")


if __name__ == "__main__":
    main()
