"""Studies in the report: their claims as lines of the ledger, their figures, their section of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from l2m.paper.studies import STUDIES
from l2m.paper.studies.records import Recorded
from l2m.paper.verdict import NOT_RUN, Line


def lines(all_runs: Sequence[Recorded]) -> dict[str, list[Line]]:
    """By heading, the claims of every study's variants, without repetitions; a line for each variant not run."""
    sections = {}
    for name in STUDIES.names():
        kind, made = STUDIES[name], dict[str, Line]()
        for options in kind.variants:
            ran = [one for one in all_runs if (type(one.study), one.options) == (kind, options)]
            key = ".".join([name, *(f"{option}={value}" for option, value in options.items())])
            new = [line for one in ran for line in claims(key, one)]
            if not new:
                words = "".join(f" study.{option}={value}" for option, value in options.items())
                command = f"`python -m l2m.study study={name}{words} results_dir=results` runs it"
                new = [Line(key, f"{kind.title}{words}", "none", "", NOT_RUN._replace(note=command))]
            made |= {line.claim: line for line in new if line.claim not in made}
        sections[kind.title] = list(made.values())
    return sections


def introductions() -> dict[str, str]:
    """By heading, each study's question."""
    return {kind.title: kind.introduction() for kind in map(STUDIES.__getitem__, STUDIES.names())}


def figures(all_runs: Sequence[Recorded]) -> Iterator[tuple[Recorded, str, Figure]]:
    """Each study's figures with their file names, drawn with the current settings of Matplotlib."""
    for one in all_runs:
        for name, figure in one.study.figures(one.tables).items():
            yield one, f"study_{one.path.name if one.options else one.path.name.rpartition('-')[0]}_{name}", figure


def claims(name: str, one: Recorded) -> list[Line]:
    """The claims of a study, as lines whose keys begin with ``name``."""
    return [
        Line(f"{name}.{key}", claim, source, ours, NOT_RUN._replace(verdict=verdict, note=note))
        for key, claim, source, ours, verdict, note in one.study.claims(one.tables)
    ]
