"""The ledger: claim, the paper's number, ours, verdict, note. Numbers from records, judgement from ``ledger.yaml``."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from l2m.paper import claims, other_settings
from l2m.paper import markdown as md
from l2m.paper.results import Results
from l2m.paper.rows import ALL
from l2m.paper.studies import STUDIES, Finding
from l2m.paper.studies.records import Recorded
from l2m.paper.verdict import EFFECT_RULE, LEVEL_RULE, NOT_RUN, REPLACED, Effect, Judgement, Line, Verdict

BESIDE = "Beside balanced and stratified batches (not in the paper, and no claims)"


def markdown(results: Results) -> str:
    """The whole of ``REPRODUCTION.md``."""
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    notes: dict[str, str] = content["notes"]
    of_rows, studied = claims.sections(results), of_studies(results.studies)
    kinds = map(STUDIES.__getitem__, STUDIES.names())
    introductions = content["introductions"] | {kind.title: kind.introduction() for kind in kinds}
    lines = [
        "# Reproduction",
        "",
        "What the paper claims, what these records say, and where the two part. Written by `make tables` from "
        "`results/`: the numbers are those of the records, the notes are in `l2m/paper/ledger.yaml`.",
        "",
        *_counted("claims of the paper", of_rows, get_args(Effect)),
        "",
        EFFECT_RULE,
        "",
        f"{LEVEL_RULE} Here a mean at E that is outside is named in the note; `results/tables/` has every cell's.",
        "",
        REPLACED,
        "",
        *_counted("claims of the studies", studied, get_args(Finding)),
        "",
        "Studies have rules of their own: reproduced is what came out as claimed.",
        "",
        "Ours is learn2mix's mean ± sd (ddof 1) against the other strategy's; Δ is learn2mix − the other, ours on the "
        "same seeds ± half of its 95 % t-interval, the paper's ± 2 of its standard errors; n is how many seeds both "
        "have. v1, v2 and v3 are the paper's versions.",
    ]
    for heading, section in {**of_rows, BESIDE: list(claims.controls(results)), **studied}.items():
        lines += ["", f"## {heading}", ""]
        if heading in introductions:
            lines += [introductions[heading].replace("*", r"\*"), ""]
        if note := notes.get(section[0].key.partition(".")[0]) if len(section) > 1 else None:
            lines += [note, ""]
        rows = []
        for line in section:
            note = " ".join(filter(None, [_sentence(line.judged.note), notes.get(line.key, "")]))
            words = (line.claim, line.paper, line.ours, line.judged.verdict, note)
            rows.append([re.sub(r"[|*]", r"\\\g<0>", word) for word in words])
        lines += md.table(["claim", "paper", "ours", "verdict", "note"], "lllll", rows)
    if made := {row: some for row in ALL if (some := other_settings.alternatives(row, results.runs))}:
        lines += ["", "## Which settings come closest to the paper's numbers", "", other_settings.CAPTION]
        for row, settings in made.items():
            lines += ["", f"### {row.title}", "", *other_settings.table(row, settings)]
            if note := notes.get(f"alternatives.{row.name}"):
                lines += ["", note]
    lines += ["", "## Where the paper, its authors' code and this suite part", ""]
    lines += ["The default is the paper's text; what can be switched names its key.", ""]
    deviations = [[entry[key] for key in ("what", "paper", "authors", "here")] for entry in content["deviations"]]
    lines += md.table(["what", "paper", "authors' code", "here"], "llll", deviations)
    return "\n".join([*lines, ""])


def of_studies(studies: Sequence[Recorded]) -> dict[str, list[Line]]:
    """By heading, the claims of every study's variants, without repetitions; a line for each variant not run."""
    sections = {}
    for name in STUDIES.names():
        kind, made = STUDIES[name], dict[str, Line]()
        for options in kind.variants:
            key = ".".join([name, *(f"{option}={value}" for option, value in options.items())])
            ran = [one for one in studies if (type(one.study), one.options) == (kind, options)]
            new = [
                Line(f"{key}.{claim.key}", claim.claim, claim.source, claim.ours, Judgement(claim.verdict, claim.note))
                for one in ran
                for claim in one.claims
            ]
            if not new:
                words = "".join(f" study.{option}={value}" for option, value in options.items())
                command = f"`python -m l2m.study study={name}{words} results_dir=results` runs it"
                new = [Line(key, f"{kind.title}{words}", "none", "", NOT_RUN._replace(note=command))]
            made |= {line.claim: line for line in new if line.claim not in made}
        sections[kind.title] = list(made.values())
    return sections


def _counted(title: str, sections: Mapping[str, list[Line]], verdicts: tuple[Verdict, ...]) -> list[str]:
    """The number of each verdict, a line a section; sections differ too much to be summed."""
    counts = {heading: Counter(line.judged.verdict for line in section) for heading, section in sections.items()}
    used = [verdict for verdict in verdicts if any(count[verdict] for count in counts.values())]
    rows = [[heading, *(str(count[verdict] or "") for verdict in used)] for heading, count in counts.items()]
    return md.table([title, *used], "l" + "r" * len(used), rows)


def _sentence(text: str) -> str:
    """With a capital and a full stop; a symbol stays as it is, since the capital of ρ is another."""
    first = text[:1].upper() if text[:1].isascii() else text[:1]
    return f"{first}{text[1:]}." if text else ""
