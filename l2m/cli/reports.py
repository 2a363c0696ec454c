"""The commands that read a results folder: ``l2m summary``, ``page``, ``tables``, ``figures`` and ``pack``."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from l2m.errors import UserError, exit_on_error, printable
from l2m.files import pack as pack_file
from l2m.files import read_text, write_whole

PACKED_BYTES = 10_000
"""Bytes from which a table is worth packing; it shrinks to a quarter."""


@exit_on_error()
def summary() -> None:
    """Print a summary of a results folder, and draw it."""
    folder = _parser(summary, "runs/").parse_args().results_dir

    from rich.console import Console

    from l2m.report import summary as report
    from l2m.report.runs import read_runs

    results = read_runs(folder)
    _warn(results.problems)
    file = folder / "summary.png"
    report.figure(results.runs, file)
    console = Console(highlight=False, markup=False, emoji=False)
    for table in report.tables(results.runs):
        console.print(table)
        console.print()
    console.print(report.caption(results.runs))
    for (dataset, strategy, status), n in sorted(results.unfinished.items()):
        console.print(f"Left out: {n} {status} of {dataset} {strategy}.")
    print(f"figure: {printable(str(file))}")


@exit_on_error()
def page() -> None:
    """Write a page for the browser: what each strategy gains, curves, groups, and a view of each run."""
    folder = _parser(page, "runs/").parse_args().results_dir

    from l2m.report import page as report
    from l2m.report.runs import read_runs

    results = read_runs(folder)
    _warn(results.problems)
    print(f"page: {printable(str(report.write(results, folder)))}")


@exit_on_error()
def tables() -> None:
    """Write the paper's tables from a results folder, to tables/ in it."""
    parser = _parser(tables, "runs/")
    parser.add_argument("--ledger", type=Path, help="also write the ledger of claims to this Markdown file")
    parser.add_argument("--into", type=Path, nargs="*", default=[], metavar="PAGE",
                        help="also write tables between the marks of these Markdown files")  # fmt: skip
    options = parser.parse_args()

    from l2m.paper import ledger
    from l2m.paper import tables as paper
    from l2m.paper.results import read_results

    results = read_results(options.results_dir)
    _warn(results.problems)
    both = paper.both(results)
    pages = {page: _filled(page, paper.blocks(results, both)) for page in options.into}
    folder = options.results_dir / "tables"
    for name, text in paper.files(results, both).items():
        write_whole(folder / name, text.encode())
    if options.ledger:
        write_whole(options.ledger, ledger.markdown(results).encode())
    for page, text in pages.items():
        write_whole(page, text.encode())
    print(paper.summary(both), f"tables: {folder}/", sep="\n")
    if options.ledger:
        print(f"ledger: {options.ledger}")


@exit_on_error()
def figures() -> None:
    """Draw a results folder, as figures and as a page that shows everything."""
    folder = _parser(figures, "runs/ or studies/").parse_args().results_dir

    from l2m.paper import figures as paper
    from l2m.paper import page as report
    from l2m.paper.results import read_results

    results = read_results(folder, studies_suffice=True)
    _warn(results.problems)
    paper.write(results.runs, folder / "figures", results.studies)
    report.write(results, folder / "index.html")
    print(f"figures: {folder / 'figures'}/", f"page: {folder / 'index.html'}", sep="\n")


@exit_on_error()
def pack() -> None:
    """Compress the large tables of finished runs; every command reads both forms."""
    folder = _parser(pack, "runs/").parse_args().results_dir

    from l2m.records.reading import read_info

    if not (records := sorted(folder.glob("runs/*/*/*/run.json"))):
        raise UserError(f"{folder}/runs holds no runs: name the folder that holds runs/, which is outputs by default")
    for record in records:
        table = record.with_name("groups.csv")
        try:
            is_done = read_info(record.parent)["status"] == "done"
            if is_done and table.exists() and table.stat().st_size >= PACKED_BYTES:
                pack_file(table)
                print(f"packed: {table}")
        except (OSError, ValueError) as error:
            _warn([f"{table} is not packed ({error})"])


def _parser(command: Callable[[], None], content: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=command.__doc__)
    parser.add_argument("results_dir", type=Path, help=f"a folder that holds {content}")
    return parser


def _warn(problems: Iterable[str]) -> None:
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)


def _filled(page: Path, blocks: dict[str, str]) -> str:
    """The text of a page with each of its blocks, between two marks that name it, written anew."""

    def fill(marks: re.Match[str]) -> str:
        if marks[2] not in blocks:
            raise UserError(f"{page} has marks of {marks[2]}, which is not written: use {', '.join(blocks)}")
        return f"{marks[1]}{blocks[marks[2]]}{marks[3]}"

    pair = r"(<!-- (\w+): written by make tables -->\r?\n).*?(<!-- end of \2 -->)"
    try:
        content = read_text(page)
    except ValueError as error:
        raise UserError(f"{page} cannot be read ({error}): name a page with marks") from error
    text, count = re.subn(pair, fill, content, flags=re.DOTALL)
    if not count:
        raise UserError(f"{page} has no pair of marks like <!-- results: written by make tables -->: restore them")
    return text
