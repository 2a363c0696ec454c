"""Draw a results folder, as figures and as a page that shows everything: ``python scripts/figures.py results``."""

import argparse
import sys
from pathlib import Path

from l2m.errors import exit_on_error


@exit_on_error()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results_dir", type=Path, help="a folder with runs/ or studies/; the page is written beside them"
    )
    folder = parser.parse_args().results_dir

    from l2m.paper import figures, page
    from l2m.paper.results import read_results

    found = read_results(folder, studies_suffice=True)
    for problem in found.problems:
        print(f"warning: {problem}", file=sys.stderr)
    files = figures.write(found.runs, folder / "figures", found.studies)
    page.write(found, folder / "index.html")
    print(f"{len(files)} figures in {folder / 'figures'}", f"page: {folder / 'index.html'}", sep="\n")


if __name__ == "__main__":
    main()
