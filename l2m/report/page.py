"""``page.html`` of any results folder: effects, curves, groups and runs, in one file that needs no other.

The scripts beside this module draw what :mod:`l2m.report.page_data` puts into the page as JSON, with uPlot.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from l2m.config.description import title
from l2m.files import write_whole
from l2m.report import drawing, page_data, summary
from l2m.report.runs import EPOCHS, Runs, RunsRead

SYMBOLS = {"better": "✓", "undecided": "?", "worse": "✗", "too few seeds": "…"}
"""Beside the word and the colour, so that none of the three is needed."""


def write(results: RunsRead, folder: Path) -> Path:
    """Write the page of the records that lie in ``folder``, and return its file."""
    runs = sorted(results.runs, key=lambda run: ("validation_fraction" in run.settings, run.subject))
    made = sections("data", runs, folder)
    for each in made:
        each["data"]["effects"] = page_data.effects(each["runs"])
    file = folder / "page.html"
    text = render(
        Path(__file__).with_name("results.html"),
        data=data(made, results.runs),
        sections=made,
        epochs=EPOCHS,
        names=list(dict.fromkeys(title(run.settings) for run in results.runs)),
        configurations=len(results.runs),
        comparisons=[page.relative_to(folder).as_posix() for page in sorted(folder.glob("comparisons/*/*.html"))],
        problems=[problem.replace(f"{folder}/", "") for problem in results.problems],
        unfinished=results.unfinished,
    )
    write_whole(file, text.encode())
    return file


def sections(name: str, runs: Iterable[Runs], folder: Path) -> list[dict[str, Any]]:
    """A :func:`section` a subject, whose runs lie together; their ids are ``name`` with a number."""
    by_subject = groupby(runs, key=lambda run: run.subject)
    return [section(f"{name}{i}", list(each), folder) for i, (_, each) in enumerate(by_subject)]


def section(name: str, runs: Sequence[Runs], folder: Path) -> dict[str, Any]:
    """A subject as the templates show it, with its ``runs`` by label, and what the page draws of it, ``data``."""
    by_label = {run.label: run for run in runs}
    ((heading, lines),) = summary.rows(list(runs)).items()
    records = page_data.records(name, by_label, folder)
    return {
        "name": name,
        "unit": heading.rpartition(": ")[2],
        "lines": lines,
        "records": records,
        "runs": by_label,
        "data": {
            "title": runs[0].subject,
            "is_percent": runs[0].task.higher_is_better,
            "metric": drawing.metric(runs[0]),
            "curves": {label: page_data.curves(run) for label, run in by_label.items()},
        },
    }


def data(sections: Sequence[Mapping[str, Any]], runs: Sequence[Runs], **more: Any) -> dict[str, Any]:
    """The JSON of a page: its sections by name, their runs, and styles."""
    return {
        "rows": {each["name"]: each["data"] for each in sections},
        "runs": {place: run for each in sections for place, run in each["records"].items()},
        "styles": {label: [colour, dashes(dash)] for label, (colour, dash) in drawing.label_styles(runs).items()},
        "symbols": SYMBOLS,
        **more,
    }


def dashes(style: Any) -> list[float]:
    """Matplotlib's dashes as a canvas has them."""
    return [] if style == "-" else list(style[1])


def render(template: Path, **values: Any) -> str:
    """A page from a template, which may extend ``base.html``; text from records is escaped.

    ``source`` gives the text of a file beside the template or beside this module, to be embedded.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "default": str}  # keeps the order of keys

    def source(name: str) -> Markup:
        assert environment.loader
        return Markup(environment.loader.get_source(environment, name)[0])

    defaults = {"symbols": SYMBOLS, "script": "subjects.js", "root": "", "problems": (), "unfinished": {}}
    return environment.get_template(template.name).render(**{**defaults, **values}, source=source)
