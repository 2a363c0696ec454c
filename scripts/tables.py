"""Write the paper's tables, and the ledger, from a results folder: ``python scripts/tables.py results``."""

import argparse
import re
import sys
from pathlib import Path

from l2m.errors import UserError, exit_on_error
from l2m.files import write_whole


@exit_on_error()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results_dir", type=Path, help="a folder that holds runs/; tables/ is written beside it")
    parser.add_argument("--ledger", type=Path, help="also write the ledger of claims to this Markdown file")
    parser.add_argument("--into", type=Path, nargs="*", default=[], metavar="PAGE",
                        help="also write tables between the marks of these Markdown files")  # fmt: skip
    options = parser.parse_args()

    from l2m.paper import tables
    from l2m.paper.results import read_results

    found = read_results(options.results_dir)
    for problem in found.problems:
        print(f"warning: {problem}", file=sys.stderr)
    both = tables.both(found)
    print(tables.summary(both))
    folder = options.results_dir / "tables"
    for name, text in tables.files(found, both).items():
        write_whole(folder / name, text.encode())
    print(f"tables: {folder}/")
    if options.ledger:
        from l2m.paper import ledger

        write_whole(options.ledger, ledger.markdown(found).encode())
        print(f"ledger: {options.ledger}")
    for page in options.into:
        write_whole(page, filled(page, tables.blocks(found, both)).encode())


def filled(page: Path, blocks: dict[str, str]) -> str:
    """The text of a page with each of its blocks, between two marks that name it, written anew."""
    text, count = re.subn(
        r"(<!-- (\w+): written by make tables -->\n).*?(<!-- end of \2 -->)",
        lambda marks: f"{marks[1]}{blocks[marks[2]]}{marks[3]}",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if not count:
        raise UserError(f"{page} has no pair of marks like <!-- results: written by make tables -->: restore them")
    return text


if __name__ == "__main__":
    main()
