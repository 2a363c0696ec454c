"""Reading records strictly: what is damaged is named and left out, and the rest is read."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from made_up import compose, write

from l2m.errors import UserError
from l2m.files import LARGEST
from l2m.report import runs


def made(folder: Path, seed: int, *overrides: str, status: str = "done", epochs: int | None = None) -> Path:
    config = compose("dataset=digits", "batch_size=10", "epochs=4", "strategy=classical", *overrides)
    return write(folder, config, lambda epoch: epoch / 10, seed=seed, status=status, epochs=epochs)


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def configure(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))

    return change


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def put(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def folder_for(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def cut(name: str, last: int) -> Callable[[Path], None]:
    """Only the first ``last`` lines stay."""

    def change(folder: Path) -> None:
        lines = (folder / name).read_text().splitlines(keepends=True)
        assert last < len(lines)
        (folder / name).write_text("".join(lines[:last]))

    return change


def scale(name: str, column: str, factor: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        table = pd.read_csv(folder / name)
        table[column] *= factor
        table.to_csv(folder / name, index=False)

    return change


def move(strategy: str, name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        shutil.move(folder, folder.parents[1] / strategy / folder.name.replace("seed1", name))

    return change


DAMAGE = {
    "no run.json": (lose("run.json"), "(run.json is missing)"),
    "half a run.json": (put("run.json", '{"status": "do'), "run.json is not JSON at line 1, column 12)"),
    "run.json of another kind": (put("run.json", "[]"), "run.json has no status"),
    "another schema": (edit("run.json", '"schema": 1', '"schema": 2'), "schema 2, this version reads 1"),
    "no config.yaml": (lose("config.yaml"), "(config.yaml is missing)"),
    "half a config.yaml": (put("config.yaml", "dataset: {name"), "(config.yaml is not valid YAML at line "),
    "empty config.yaml": (put("config.yaml", ""), "config.yaml is not a configuration"),
    "a key that is not known": (configure(epoch=3), "key epoch is not known (did you mean epochs?)"),
    "another learning rate": (configure(learning_rate=0.5), "its config.yaml is that of digits/classical/seed1-"),
    "another seed": (configure(seed=9), "its config.yaml is that of digits/classical/seed9-"),
    "another strategy": (configure(strategy={"name": "balanced"}), "is that of digits/balanced/seed1-"),
    "moved to another strategy": (move("balanced", "seed1"), "its config.yaml is that of digits/classical/seed1-"),
    "renamed to another seed": (move("classical", "seed01"), "its config.yaml is that of digits/classical/seed1-"),
    "no metrics.csv": (lose("metrics.csv"), "(metrics.csv is missing)"),
    "empty metrics.csv": (put("metrics.csv", ""), "(metrics.csv is empty)"),
    "an epoch lost": (cut("metrics.csv", 4), "metrics.csv does not hold epochs 1 to 4"),
    "an epoch twice": (edit("metrics.csv", "\n4,", "\n3,"), "metrics.csv does not hold epochs 1 to 4"),
    "a number that is not finite": (
        edit("metrics.csv", ",0.5,0.1,", ",0.5,inf,"),
        "of test_metric that is missing or not finite in line 2",
    ),
    "a number that is missing": (
        edit("metrics.csv", ",0.5,0.1,", ",0.5,,"),
        "of test_metric that is missing or not finite in line 2",
    ),
    "text for a number": (
        edit("metrics.csv", ",0.5,0.1,", ",0.5,much,"),
        "has the value 'much' of test_metric in line 2, which is not a number of its kind",
    ),
    "a value too many": (edit("metrics.csv", "\n3,", "\n3,3,"), "metrics.csv has 9 values in line 4, not 8"),
    "a count that is missing": (edit("metrics.csv", "\n3,", "\n,"), "metrics.csv has the value '' of epoch in line 4"),
    "no text": (
        lambda folder: (folder / "groups.csv").write_bytes(b"epoch\xff"),
        "groups.csv is not UTF-8 text from byte 5 on",
    ),
    "a folder for a file": (folder_for("metrics.csv"), "(metrics.csv is not a regular file)"),
    "a column renamed": (edit("metrics.csv", "test_metric", "accuracy"), "metrics.csv has the columns epoch, steps"),
    "no groups.csv": (lose("groups.csv"), "(groups.csv is missing)"),
    "a group lost": (cut("groups.csv", 8), "does not hold the same number of groups"),
    "an epoch of groups lost": (cut("groups.csv", 7), "groups.csv has 3 epochs, metrics.csv 4"),
    "groups of another name": (edit("groups.csv", "\n3,1,1,", "\n3,1,one,"), "groups 0 to 1 alike in each epoch"),
    "an accuracy in %": (scale("metrics.csv", "test_metric", 1000), "an accuracy outside 0 to 1"),
    "another worst group": (scale("metrics.csv", "worst_group", 0.5), "another worst_group than groups.csv"),
    "samples of another batch": (scale("metrics.csv", "samples", 2), "other steps or samples than"),
    "a share that is not finite": (edit("groups.csv", "\n3,0,0,0.25", "\n3,0,0,-inf"), "a value of proportion"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_and_left_out(tmp_path: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    whole, broken = made(tmp_path, 0), made(tmp_path, 1)
    (tmp_path / "runs" / "digits" / "balanced").mkdir()
    damage(broken)
    found = runs.read_runs(tmp_path)
    assert [list(run.metrics) for run in found.runs] == [[0]]
    (problem,) = found.problems
    assert message in problem
    assert problem.startswith(f"{tmp_path}/runs/digits/")
    remedy = r"\): ((if it is your own, .*, else )?remove it, and repeat the run|update l2m to read it)$"
    assert re.search(remedy, problem)
    assert ("update l2m" in problem) == (kind == "another schema")
    assert not problem.startswith(f"{whole} ")
    assert "\n" not in problem
    assert "Error" not in problem


def zipped(content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "groups.csv").unlink()
        (folder / "groups.csv.gz").write_bytes(content)

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    {
        "no gzip": (zipped(b"epoch,group"), "groups.csv.gz cannot be unpacked"),
        "half of it": (zipped(gzip.compress(b"epoch,group,name" * 99)[:40]), "groups.csv.gz cannot be unpacked"),
        "another byte": (zipped(gzip.compress(b"epoch" * 9)[:-8] + bytes(8)), "groups.csv.gz cannot be unpacked"),
        "no end": (zipped(gzip.compress(bytes(LARGEST + 1), 1)), "groups.csv.gz holds more than 268435456 bytes"),
        "another table": (zipped(gzip.compress(b"epoch,group\n")), "groups.csv has the columns epoch, group, not"),
    }.values(),
)  # fmt: skip
def test_damaged_packed_table_is_left_out(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    made(tmp_path, 0)
    damage(made(tmp_path, 1))
    (problem,) = runs.read_runs(tmp_path).problems
    assert message in problem


def test_large_tables_of_finished_runs_are_packed_and_read_alike(tmp_path: Path) -> None:
    long, short = (compose("dataset=wine_quality", f"epochs={epochs}") for epochs in (1500, 4))
    folders = [
        write(tmp_path, config, lambda epoch: 1 / epoch, seed=seed, status=status, epochs=config.epochs)
        for seed, (config, status) in enumerate([(long, "done"), (short, "done"), (long, "running")])
    ]
    before = runs.read_runs(tmp_path)
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "l2m", "pack", tmp_path], check=True)
        assert [(folder / "groups.csv").exists() for folder in folders] == [False, True, True]
    size, text = (folders[0] / "groups.csv.gz").stat().st_size, (folders[2] / "groups.csv").stat().st_size
    assert size < text / 3
    after = runs.read_runs(tmp_path)
    assert after.problems == before.problems == []
    for old, new in zip(before.runs, after.runs, strict=True):
        pd.testing.assert_frame_equal(old.groups[min(old.groups)], new.groups[min(new.groups)])


def test_if_all_is_damaged_the_error_names_each(tmp_path: Path) -> None:
    folders = [made(tmp_path, seed) for seed in (0, 1)]
    for folder in folders:
        (folder / "groups.csv").unlink()
    with pytest.raises(UserError) as caught:
        runs.read_runs(tmp_path)
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == [*map(str, folders), f"{tmp_path}/runs"]


def test_runs_that_are_not_finished_are_counted_and_no_problem(tmp_path: Path) -> None:
    made(tmp_path, 0)
    for seed, status in ((1, "failed"), (2, "failed"), (3, "running")):
        made(tmp_path, seed, status=status, epochs=2)
    found = runs.read_runs(tmp_path)
    assert found.problems == []
    assert found.unfinished == {("digits", "classical", "failed"): 2, ("digits", "classical", "running"): 1}


def test_a_record_of_a_gpu_is_read_without_one(tmp_path: Path) -> None:
    folder = made(tmp_path, 0)
    edit("config.yaml", "device: cpu", "device: cuda")(folder)
    assert len(runs.read_runs(tmp_path).runs) == 1


def test_a_loss_may_be_missing_where_no_batch_held_the_group(tmp_path: Path) -> None:
    folder = made(tmp_path, 0)
    edit("groups.csv", "\n2,0,0,0.25,25,0.2,", "\n2,0,0,0.25,0,,")(folder)
    assert runs.read_runs(tmp_path).problems == []


def test_a_group_may_be_called_na(tmp_path: Path) -> None:
    folder = made(tmp_path, 0)
    edit("groups.csv", ",0,0,", ",0,NA,")(folder)
    found = runs.read_runs(tmp_path)
    assert found.problems == []
    assert found.runs[0].groups[0]["name"].iloc[0] == "NA"


def test_runs_of_equal_seconds_have_the_epochs_there_was_time_for(tmp_path: Path) -> None:
    folder = made(tmp_path, 0, "equal_seconds=true", epochs=3)
    (run,) = runs.read_runs(tmp_path).runs
    assert run.settings["equal_seconds"] is True
    assert run.at(1.0).tolist() == [30]
    edit("metrics.csv", "\n2,", "\n7,")(folder)
    with pytest.raises(UserError, match="epochs 1 to 3, each once"):
        runs.read_runs(tmp_path)


def test_what_the_run_was_made_with_is_read(tmp_path: Path) -> None:
    folder = made(tmp_path, 5)
    (run,) = runs.read_runs(tmp_path).runs
    assert run.info == {5: json.loads((folder / "run.json").read_text())}


def test_reading_imports_no_library_of_data_sets_or_resampling(tmp_path: Path) -> None:
    """They take longer than reading hundreds of records."""
    made(tmp_path, 0)
    script = "import sys; from pathlib import Path; from l2m.report import runs; runs.read_runs(Path(sys.argv[1]));"
    script += "sys.exit(', '.join({'torchvision', 'imblearn', 'datasets'} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert ended.stderr.strip() == ""
