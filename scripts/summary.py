"""Print a summary of a results folder, and draw it: ``python scripts/summary.py outputs/quickstart``."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from l2m.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results_dir", type=Path, help="a folder that holds runs/")
    folder = parser.parse_args().results_dir

    from l2m.report import summary
    from l2m.report.runs import read_runs

    try:
        results = read_runs(folder)
    except UserError as error:
        sys.exit(f"error: {error}")
    for problem in results.problems:
        print(f"warning: {problem}", file=sys.stderr)
    console = Console(highlight=False)
    for table in summary.tables(results.runs):
        console.print(table)
        console.print()
    console.print(summary.CAPTION)
    file = folder / "summary.png"
    summary.figure(results.runs, file)
    print(f"figure: {file}")


if __name__ == "__main__":
    main()
