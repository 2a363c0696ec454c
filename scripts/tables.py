"""Write the paper's tables, and the ledger, from a results folder: ``python scripts/tables.py results``."""

import argparse
import sys
from pathlib import Path

from l2m.errors import UserError

BEGIN, END = "<!-- results: written by make tables -->\n", "<!-- end of results -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results_dir", type=Path, help="a folder that holds runs/; tables/ is written beside it")
    parser.add_argument("--ledger", type=Path, help="also write the ledger of claims to this Markdown file")
    parser.add_argument("--readme", type=Path, help="also write the verdicts between the marks in this Markdown file")
    options = parser.parse_args()

    from l2m.report import runs, tables

    try:
        found = runs.read(options.results_dir)
    except UserError as error:
        sys.exit(f"error: {error}")
    for problem in found.problems:
        print(f"warning: {problem}", file=sys.stderr)
    both = tables.both(found)
    print(tables.summary(both))
    folder = options.results_dir / "tables"
    folder.mkdir(exist_ok=True)
    for name, text in tables.files(found, both).items():
        (folder / name).write_text(text, encoding="utf-8")
    print(f"tables: {folder}/")
    if options.ledger:
        from l2m.report import ledger

        options.ledger.write_text(ledger.markdown(found), encoding="utf-8")
        print(f"ledger: {options.ledger}")
    if options.readme:
        before, begin, rest = options.readme.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            sys.exit(f"error: {options.readme} has no block between {BEGIN.strip()} and {END}: put both marks back")
        options.readme.write_text(f"{before}{BEGIN}{tables.overview(both)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
