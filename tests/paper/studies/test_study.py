"""The command and records of studies: what is written, skipped and refused, and how the report uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from commands import Command, called, command, opened

from l2m import study
from l2m.errors import UserError
from l2m.paper import ledger
from l2m.paper.page import render
from l2m.paper.results import read_results
from l2m.paper.studies import STUDIES as registry
from l2m.paper.studies.records import digest, read, read_all
from l2m.report import runs

SMALL = ("study=one_step", "study.problems=12", "study.dimensions=5", "study.groups=3")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``python -m l2m.study`` in this process, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return opened(study, monkeypatch, capsys)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a small study."""
    folder = tmp_path_factory.mktemp("results")
    called(study, *SMALL, f"results_dir={folder}")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.csv")}


def test_a_study_is_written_printed_and_skipped(door: Command, tmp_path: Path) -> None:
    first = door(*SMALL)
    assert first.status == 0
    assert first.err == ""
    (path,) = tmp_path.glob("outputs/studies/*")
    info = json.loads((path / "run.json").read_text())
    assert {f"{name}.csv" for name in info["tables"]} | {"config.yaml", "run.json"} == {f.name for f in path.iterdir()}
    assert {"commit", "torch", "start", "end", "seconds"} <= info.keys()
    assert max(map(len, first.out.splitlines())) < 80
    one = read(path)
    assert one.options == {"problems": 12, "dimensions": 5, "groups": 3}
    claims = one.study.claims(one.tables)
    assert all(f"{claim.verdict}: " in first.out for claim in claims)
    assert one.study.introduction() in " ".join(first.out.split())
    before, written = content(path), (path / "run.json").stat().st_mtime_ns
    repeated = door(*SMALL)
    assert repeated.out.startswith("already finished\n")
    assert repeated.out.splitlines()[1:] == first.out.splitlines()[-len(repeated.out.splitlines()) + 1 :]
    assert (path / "run.json").stat().st_mtime_ns == written
    assert door(*SMALL, "force=true").status == 0
    assert (path / "run.json").stat().st_mtime_ns > written
    assert content(path) == before, "the same options give the same tables"


def test_each_options_have_a_directory_of_their_own(door: Command, tmp_path: Path) -> None:
    assert door("-m", *SMALL, "study.seed=0,1").status == 0
    first, second = (read(path) for path in tmp_path.glob("outputs/studies/*"))
    assert {first.options.get("seed"), second.options.get("seed")} == {None, 1}
    name = next(iter(first.tables))
    assert any(not first.tables[key].equals(second.tables[key]) for key in first.tables), name
    assert digest({"name": "one_step", "seed": 0}) == digest({"name": "one_step"}), "a default is no option"


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["study=two_step"], ["study=two_step is not known (did you mean one_step?)", "mixing_convergence"]),
        (["study=null"], ["a group needs one of its choices", "study is one"]),
        ([*SMALL, "study.problem=3"], ["study.problem is not an option", "did you mean study.problems"]),
        ([*SMALL, "study.problems=0"], ["study.problems=0 must be at least 1"]),
        ([*SMALL, "study.problems=many"], ["study.problems=many must be a whole number"]),
        ([*SMALL, "problems=3"], ["problems is not a key by itself: write study.problems="]),
        ([*SMALL, "sede=3"], ["key sede is not known", "results_dir"]),
        ([*SMALL, "threads=0"], ["threads=0 must be in [1, 1024]"]),
        ([*SMALL, "study.seed=1,2"], ["study.seed=1,2 gives several values to one run: add -m"]),
        (["dataset=mnist"], ["dataset is not known"]),
    ],
)
def test_errors_are_reported(door: Command, tmp_path: Path, arguments: list[str], fragments: list[str]) -> None:
    result = door(*arguments)
    assert result.status == 1
    assert all(line.startswith("error: ") for line in result.err.splitlines())
    for fragment in fragments:
        assert fragment in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(door: Command, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("mine")
    result = door(*SMALL)
    assert (result.status, (tmp_path / "outputs").read_text()) == (1, "mine")
    assert "cannot be written" in result.err
    assert "choose a results_dir that can be" in result.err


def test_help_lists_the_studies_and_their_options(door: Command) -> None:
    short, result = door("--help"), door("--help", "all")
    assert (short.status, result.status) == (0, 0)
    for name in registry.names():
        assert name in short.out
        assert f"study={name}" in result.out
    assert "problems: 2000" in result.out


@pytest.mark.parametrize(
    ("file", "text", "fragment"),
    [
        ("run.json", "{", "run.json is not JSON at line 1"),
        (
            "run.json",
            '{"schema": 7, "status": "done", "tables": []}',
            "this version reads 1): update l2m",
        ),
        ("run.json", '{"schema": 1, "status": "done", "tables": ["../../x"]}', "names a table '../../x'"),
        ("run.json", '{"schema": 1, "status": "done", "tables": ["absent"]}', "absent.csv"),
        ("config.yaml", "name: two_step", "study=two_step is not known"),
        ("config.yaml", "name: one_step", "not the one of its configuration"),
    ],
)
def test_a_damaged_record_is_named_and_left_out(
    recorded: Path, tmp_path: Path, file: str, text: str, fragment: str
) -> None:
    shutil.copytree(recorded, tmp_path / "results")
    (path,) = tmp_path.glob("results/studies/*")
    (path / file).write_text(text)
    found, problems = read_all(tmp_path / "results")
    assert found == []
    assert len(problems) == 1
    assert str(path) in problems[0]
    assert fragment in problems[0]


@pytest.mark.parametrize("text", ["", "no,such,columns\n1,2,3\n", "\0" * 90])
def test_damaged_table_of_a_finished_study_is_reported(door: Command, tmp_path: Path, text: str) -> None:
    assert door(*SMALL).status == 0
    (path,) = tmp_path.glob("outputs/studies/*")
    file = path / f"{json.loads((path / 'run.json').read_text())['tables'][0]}.csv"
    file.write_text(text)
    status, _, err = door(*SMALL)
    assert status == 1
    (line,) = err.splitlines()
    assert line.startswith(f"error: {path.relative_to(tmp_path)} is damaged (")
    assert line.endswith("): remove it to run the study again")
    studies, (problem,) = read_all(tmp_path / "outputs")
    assert studies == [], "figures and pages are made without it"
    assert problem.startswith(f"{path} is left out (")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("study=feature_learning", "study.seeds=[1,1]"), "study.seeds=[1, 1] must have different values, one at"),
        (("study=feature_learning", "study.rare_shares=[0.2,0.2]"), "study.rare_shares=[0.2, 0.2] must have different"),
        (("study=inner_steps", "study.conditions=[]"), "study.conditions=[] must have different values, one at least"),
        (("study=mixing_convergence", "study.learning_rates=[]"), "study.learning_rates=[] must have different values"),
        (("study=mixing_convergence", "study.learning_rates=[1.5]"), "study.learning_rates=[1.5] has none below 1"),
    ],
)
def test_lists_of_which_no_claim_could_be_judged(
    door: Command, tmp_path: Path, words: tuple[str, ...], problem: str
) -> None:
    status, _, err = door(*words)
    assert (status, len(err.splitlines())) == (1, 1)
    assert problem in err
    assert not (tmp_path / "outputs").exists()


def test_a_study_that_fails_stops_no_other(door: Command, tmp_path: Path) -> None:
    assert door(*SMALL).status == 0
    (path,) = tmp_path.glob("outputs/studies/*")
    (path / "proof.csv").write_text("")
    status, _, err = door("-m", *SMALL, "study.seed=0,1")
    assert status == 1
    (line,) = err.splitlines()
    assert line.startswith(f"error: {' '.join(SMALL)} study.seed=0: {path.relative_to(tmp_path)} is damaged (")
    assert len(list(tmp_path.glob("outputs/studies/*/run.json"))) == 2


def test_the_ledger_has_the_defaults_alone(recorded: Path) -> None:
    found, problems = read_all(recorded)
    assert (len(found), problems) == (1, [])
    result = ledger.of_studies(found)
    (line,) = result[registry["one_step"].title]
    assert line.judged.verdict == "not run"
    assert "python -m l2m.study study=one_step results_dir=results" in line.judged.note
    at_defaults = found[0]._replace(options={})
    lines = ledger.of_studies([at_defaults])[registry["one_step"].title]
    assert [line.judged.verdict for line in lines] == [c.verdict for c in at_defaults.study.claims(at_defaults.tables)]
    assert len({line.key for line in lines}) == len(lines)


def test_a_claim_is_judged_by_the_tables(recorded: Path) -> None:
    """Other numbers, other verdicts: nothing is typed by hand."""
    (one,), _ = read_all(recorded)
    turned = {
        name: table.assign(**{key: ~table[key] for key in table if table[key].dtype == bool})
        for name, table in one.tables.items()
    }
    turned = {
        name: table.assign(holds=table["checked"] - table["holds"]) if {"checked", "holds"} <= set(table) else table
        for name, table in turned.items()
    }
    result, other = one.study.claims(one.tables), one.study.claims(turned)
    assert sum(a.ours != b.ours for a, b in zip(result, other, strict=True)) >= len(result) / 2


def test_the_page_shows_a_study(recorded: Path, made_up_results: Path, tmp_path: Path) -> None:
    shutil.copytree(made_up_results, tmp_path / "results")
    shutil.copytree(recorded / "studies", tmp_path / "results" / "studies")
    found = read_results(tmp_path / "results")
    page = render(found, tmp_path / "results")
    (one,) = found.studies
    assert f'id="{one.path.name}"' in page
    assert "(problems=12, dimensions=5, groups=3)" in page
    for name in one.tables:
        link = f"studies/{one.path.name}/{name}.csv"
        assert f'href="{link}"' in page
        assert isinstance(pd.read_csv(tmp_path / "results" / link), pd.DataFrame)


def test_studies_are_drawn_without_runs(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(recorded, folder)
    result = command("figures", monkeypatch, capsys)(folder)
    assert result.status == 0
    (path,) = folder.glob("studies/*")
    drawn = {file.name for file in folder.glob("figures/*.png")}
    assert drawn == {f"study_{path.name}_{name}.png" for name in ("condition", "proof")}
    assert f'id="{path.name}"' in (folder / "index.html").read_text()
    with pytest.raises(UserError, match="holds no finished runs"):
        runs.read_runs(folder)


def test_every_study_says_where_its_rules_are() -> None:
    for name in registry.names():
        *_, file = registry[name].introduction().rstrip(".").split()
        assert "eproduced" in (Path(__file__).resolve().parents[3] / file).read_text(encoding="utf-8")
