"""Print what a results folder holds, and draw it: ``python scripts/summary.py outputs/quickstart``."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from l2m.errors import UserError

BEGIN = "<!-- results: written by scripts/summary.py -->"
END = "<!-- end of results -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results_dir", type=Path, help="a folder that holds runs/")
    parser.add_argument("--readme", type=Path, help="also write the table between the marks in this Markdown file")
    options = parser.parse_args()
    folder = options.results_dir

    from l2m.report import runs, summary

    try:
        found, problems, _ = runs.read(folder)
    except UserError as error:
        sys.exit(f"error: {error}")
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    console = Console(highlight=False)
    for table in summary.tables(found):
        console.print(table)
        console.print()
    console.print(summary.CAPTION)
    file = folder / "summary.png"
    summary.figure(found, file)
    print(f"figure: {file}")
    if options.readme:
        before, _, rest = options.readme.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        options.readme.write_text(f"{before}{BEGIN}\n{summary.markdown(found)}{END}{after}")


if __name__ == "__main__":
    main()
