"""No content of a data set, record or checkpoint is executed, leaves its folder, or becomes markup in a report."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import WORDNET, md5
from made_up import compose, write
from mutations import assert_sentence, damage, each_kind, linked, publish, put, within

import l2m
from l2m import UserError
from l2m.config.checking import check
from l2m.data import _load, load
from l2m.paper import ledger, page, tables
from l2m.paper.latex import escape
from l2m.paper.results import Results, read_results
from l2m.report import runs
from l2m.sweeps import plan
from l2m.training.run import final_parameters

CIFAR10 = "cifar-10-batches-py"

# Pickles


class Call:
    """Unpickling this object calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def payloads(trace: Path) -> dict[str, Any]:
    """Objects that create the file ``trace`` when they are unpickled."""
    python = f"open({str(trace)!r}, 'w').close()"
    return {
        "system": Call(os.system, f"touch '{trace}'"),
        "eval": Call(eval, python),
        "exec": Call(exec, python),
        "numpy": Call(np.savetxt, str(trace), [1.0]),
        "code": Call(exec, Call(compile, python, "batch", "exec")),
    }


PAYLOADS = tuple(payloads(Path("nowhere")))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


def test_payloads_are_real(tmp_path: Path) -> None:
    for name in PAYLOADS:
        trace = tmp_path / name
        pickle.loads(pickle.dumps(payloads(trace)[name], protocol=2))
        assert trace.exists(), name


@pytest.mark.parametrize(
    ("name", "payload"), [*(("data_batch_2", payload) for payload in PAYLOADS), ("batches.meta", "system")]
)
def test_pickle_of_cifar_runs_nothing(
    tiny_data: Path, tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch, name: str, payload: str
) -> None:
    """With a wrong MD5 sum, and with the right one."""
    folder = tmp_path / "data"
    linked(tiny_data / CIFAR10, folder / CIFAR10)
    file = folder / CIFAR10 / name
    whole = pickle.loads(file.read_bytes())
    put(file, pickle.dumps(whole | {"batch_label": payloads(trace)[payload]}, protocol=2))
    for is_wrong in (True, False):
        with pytest.raises(UserError) as caught:
            load(compose("dataset=cifar10", f"data_dir={folder}"))
        assert ("has the MD5 sum" in str(caught.value)) == is_wrong
        is_read = name != "batches.meta" or not is_wrong
        assert ("UnpicklingError: it asks for " in str(caught.value)) == is_read
        assert_sentence(str(caught.value), file)
        assert not trace.exists()
        publish(monkeypatch, file)


def test_pickle_among_the_tokens_runs_nothing(tiny_data: Path, tmp_path: Path, trace: Path) -> None:
    folder = tmp_path / "data"
    linked(tiny_data / "aclImdb", folder / "aclImdb")
    config = compose("dataset=imdb", f"data_dir={folder}")
    first = load(config)
    (kept,) = (folder / "imdb").iterdir()
    np.savez(kept, allow_pickle=True, train=np.array([payloads(trace)["system"]], object))
    _load.cache_clear()
    assert load(config).train.inputs.equal(first.train.inputs)
    assert not trace.exists()


def test_pickle_in_model_pt_runs_nothing(tmp_path: Path, trace: Path) -> None:
    """A curriculum reads the parameters of a classical run."""
    tiny = ("dataset.train_sizes=[8,8,8,8]", "dataset.test_size=2", "batch_size=8", "epochs=1", "device=cpu")
    config = l2m.compose(*tiny, "strategy=classical", f"results_dir={tmp_path}")
    file = l2m.train(config).path / "model.pt"
    torch.save({"parameters": payloads(trace)["system"]}, file)
    with pytest.raises((UserError, pickle.UnpicklingError)):
        final_parameters(config)
    assert not trace.exists()


def test_picture_is_not_handed_to_another_program(
    tiny_data: Path, tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would run Ghostscript on PostScript, whatever the file's name."""
    from PIL import EpsImagePlugin, Image

    program = tmp_path / "bin" / "gs"
    put(program, f"#!/bin/sh\ntouch '{trace}'\n".encode())
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    buffer = io.BytesIO()
    Image.new("L", (60, 40)).save(buffer, "EPS")
    with pytest.raises(OSError, match="cannot identify"), Image.open(io.BytesIO(buffer.getvalue())) as picture:
        picture.load()
    assert trace.exists(), "Pillow runs gs"
    trace.unlink()
    folder = tmp_path / "data"
    linked(tiny_data / "imagenette2-320", folder / "imagenette2-320")
    file = folder / "imagenette2-320" / "val" / WORDNET[2] / f"{WORDNET[2]}_0.JPEG"
    put(file, buffer.getvalue())
    with pytest.raises(UserError) as caught:
        load(compose("dataset=imagenette", f"data_dir={folder}"))
    assert_sentence(str(caught.value), file)
    assert not trace.exists()


# Archives


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    return made


ARCHIVES: dict[str, Callable[[Path], list[tarfile.TarInfo]]] = {
    "a folder above": lambda out: [member("../out/evil")],
    "far above": lambda out: [member("../" * 30 + str(out / "evil").lstrip("/"))],
    "an absolute path": lambda out: [member(str(out / "evil"))],
    "through a link": lambda out: [member("a", tarfile.SYMTYPE, str(out)), member("a/evil")],
    "through a link above": lambda out: [member("a", tarfile.SYMTYPE, "../../out"), member("a/evil")],
    "a hard link": lambda out: [member("a", tarfile.LNKTYPE, str(out / "own")), member("a")],
    "a device": lambda out: [member("imagenette2-320", tarfile.CHRTYPE)],
    "a pipe": lambda out: [member("imagenette2-320/train", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archive_stays_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The archive is downloaded with the right MD5 sum."""
    from l2m.data.torchvision_import import torchvision

    out, folder, served = tmp_path / "out", tmp_path / "data", tmp_path / "served.tgz"
    put(out / "own", b"mine")
    with tarfile.open(served, "w:gz") as archive:
        for each in ARCHIVES[kind](out):
            archive.addfile(each, io.BytesIO(b"evil"[: each.size]))
    utils, sums = torchvision.datasets.utils, {"320px": ("http://served/imagenette2-320.tgz", md5(served))}
    monkeypatch.setattr(torchvision.datasets.Imagenette, "_ARCHIVES", sums)
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda url, place: put(Path(place), served.read_bytes()))
    with within(20), pytest.raises(UserError) as caught:
        load(compose("dataset=imagenette", f"data_dir={folder}"))
    assert_sentence(str(caught.value), folder / "imagenette2-320")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"own": b"mine"}
    assert not list(folder.rglob("*"))
    assert getattr(tarfile.TarFile, "extraction_filter", None) is None, "tarfile is unchanged for other code"


def test_archive_of_whole_files_is_unpacked(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.data.torchvision_import import torchvision

    served = tmp_path / "served.tgz"
    with tarfile.open(served, "w:gz") as archive:
        archive.add(tiny_data / CIFAR10, CIFAR10)
    utils = torchvision.datasets.utils
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5(served))
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda url, place: put(Path(place), served.read_bytes()))
    data = load(compose("dataset=cifar10", f"data_dir={tmp_path / 'data'}"))
    assert data.train.inputs.equal(load(compose("dataset=cifar10", f"data_dir={tiny_data}")).train.inputs)
    assert not [file.name for file in (tmp_path / "data").rglob("*.part")]


# Names

NAMES = ["../../x", "/tmp/x", "..", "", "mnist/../../x", "mnist\0", "MNIST", "mnist ", ["mnist"], None]


@pytest.mark.parametrize(
    ("group", "name"), [*(("dataset", name) for name in NAMES), ("strategy", "../../x"), ("strategy", [])]
)
def test_name_outside_the_choices_is_refused(group: str, name: object) -> None:
    raw = compose("dataset=digits").to_dict()
    with pytest.raises(UserError, match=f"{group}=.* is not known"):
        check(raw | {group: raw[group] | {"name": name}})


@pytest.mark.parametrize("override", ["dataset=../../x", "strategy.name=/tmp/x"])
def test_override_with_a_path_is_refused(override: str) -> None:
    with pytest.raises(UserError) as caught:
        l2m.compose(override)
    assert "not known" in str(caught.value) or "cannot be" in str(caught.value)


@pytest.mark.parametrize("seed", [-1, "../1", "1/../../2", 1.5, True, 2**31])
def test_wrong_seed_is_refused(seed: object) -> None:
    with pytest.raises(UserError, match=r"^seed="):
        check(compose("dataset=digits").to_dict() | {"seed": seed})


# Records


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two records."""
    config = compose("dataset=digits", "batch_size=10", "epochs=4", "strategy=classical")
    for seed in (0, 1):
        write(tmp_path / "results", config, lambda epoch: epoch / 10, seed=seed)
    return tmp_path / "results"


def second(results: Path) -> Path:
    return next(results.glob("runs/digits/classical/seed1-*"))


def left_out(results: Path, place: Path) -> str:
    """Assert that the record at ``place`` alone is left out, and return the reason."""
    whole = next(results.glob("runs/digits/classical/seed0-*"))
    before = {file: file.read_bytes() for file in whole.iterdir()}
    with within(20):
        found = runs.read_runs(results)
    assert [list(run.metrics) for run in found.runs] == [[0]]
    assert {file: file.read_bytes() for file in whole.iterdir()} == before
    (problem,) = found.problems
    assert_sentence(problem, place)
    assert re.search(r"\): (if it is your own, .*, else )?remove it, and repeat the run$", problem)
    return problem


@pytest.mark.parametrize(("name", "kind"), each_kind(["run.json", "config.yaml", "metrics.csv", "groups.csv"]))
def test_damaged_record_is_left_out(results: Path, name: str, kind: str) -> None:
    damage(second(results) / name, kind)
    with within(20):
        found = runs.read_runs(results)
    if found.problems:
        left_out(results, second(results))
    else:  # line ends, a digit, or a byte of a text
        assert [list(run.metrics) for run in found.runs] == [[0, 1]]
        assert found.runs[0].metrics[1]["test_metric"].between(0, 1).all()


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
"""Ten to the ninth x, once its references are resolved."""

CONFIGS = {
    "code": "!!python/object/apply:os.system ['touch trace']",
    "references": BOMB + "epochs: *j\n",
    "a loop": "dataset: &a\n  name: *a\n",
    "deep lists": "[" * 40_000,
    "a long text": "dataset: " + "x" * 10**6,
    "keys of two kinds": "1: 2\nx: 3\n",
    "options of two kinds": "dataset: {name: digits, 1: 2, x: 3}\n",
    "a list for a name": "dataset: {name: [digits]}\n",
    "a list": "[1, 2]",
    "two documents": "a: 1\n---\nb: 2\n",
    "a name above": "dataset: {name: ../../../x}\n",
    "more epochs than in its tables": "epochs: 1000000000000",
    "endless epochs": "epochs: .inf",
    "no number": "learning_rate: .nan",
    "a number of 40 000 digits": "epochs: " + "9" * 40_000,
    "a day": "seed: 2020-01-01",
    "escapes": 'dataset: {name: "\\e[2J\\n<script>"}\n',
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_hostile_configuration_is_left_out(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The text is the whole file, or replaces a key of a valid configuration."""
    monkeypatch.chdir(tmp_path)
    file = second(results) / "config.yaml"
    text = CONFIGS[kind]
    key = text.partition(":")[0]
    if text.count("\n") < 2 and key in compose("dataset=digits").to_dict() and "!!" not in text:
        rest = yaml.safe_load(file.read_text())
        del rest[key]
        text = f"{text}\n{yaml.safe_dump(rest)}"
    file.write_text(text)
    before = sorted(path for path in tmp_path.rglob("*"))
    left_out(results, second(results))
    assert sorted(path for path in tmp_path.rglob("*")) == before, "nothing was run"


def test_record_of_very_many_epochs_is_left_out_at_once(results: Path) -> None:
    config = compose("dataset=digits", "batch_size=10", "epochs=1000000000000", "strategy=classical")
    place = write(results, config, lambda epoch: 0.5, seed=7, epochs=2)
    second(results).rename(results / "elsewhere")
    assert "does not hold epochs 1 to 1000000000000" in left_out(results, place)


INFOS = {
    "deep": "[" * 100_000,
    "a number": "7",
    "no status": '{"schema": 1}',
    "a list for a status": '{"schema": 1, "status": ["done"]}',
    "a status of lines": '{"schema": 1, "status": "failed\\n\\\\input{/etc/passwd}"}',
    "an empty status": '{"schema": 1, "status": ""}',
    "schema NaN": '{"schema": NaN, "status": "done"}',
    "escapes": '{"schema": "\\u001b[2J", "status": "done"}',
    "a long schema": json.dumps({"schema": "x" * 10**6, "status": "done"}),
}


@pytest.mark.parametrize("kind", INFOS)
def test_hostile_run_json_is_left_out(results: Path, kind: str) -> None:
    (second(results) / "run.json").write_text(INFOS[kind])
    left_out(results, second(results))
    config = compose("dataset=digits", "batch_size=10", "epochs=4", "strategy=focal", f"results_dir={results}")
    assert plan.format_plan(plan.plan([(config, "")])).startswith("1 run: 0 done"), (
        "plans estimate time from valid records"
    )


@pytest.mark.parametrize(
    ("level", "name"),
    [(1, "<script>"), (2, "<script>"), (1, "..x"), (2, "$(touch trace)"), (1, "a\nb"), (2, "\x1b[2J"), (1, "{{7*7}}")],
)
def test_folder_with_a_hostile_name_is_left_out(results: Path, level: int, name: str) -> None:
    """Only its folders name a run in progress: its configuration is not read."""
    run = second(results)
    info = json.loads((run / "run.json").read_text()) | {"status": "running"}
    (run / "run.json").write_text(json.dumps(info))
    parts = [*run.relative_to(results / "runs").parts]
    parts[level - 1] = name
    place = results.joinpath("runs", *parts)
    place.parent.mkdir(parents=True)
    run.rename(place)
    problem = left_out(results, results / "runs")
    assert "is not known: choose one of" in problem


# Reports

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>|a & b_c{d}$e$\\input{f}%\"'`--<!--]]>"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attributes}


def records_named(folder: Path, name: str) -> Results:
    """Records in which groups, a key and values of configurations, and a folder have a name."""
    for strategy in ("learn2mix", "classical"):
        config = compose("dataset=wine_quality", f"strategy={strategy}")
        place = write(folder, config, lambda epoch: 30 / epoch, apart=0.01)
        file = place / "groups.csv"
        quoted = '"' + name.replace('"', '""') + '"'
        file.write_text(file.read_text().replace(",1,1,", f",1,{quoted},"))
    for seed, change in ((5, {name: 1}), (6, {"epochs": name}), (7, {"dataset": {"name": name}})):
        file = write(folder, compose("dataset=wine_quality"), lambda epoch: 1.0, seed=seed) / "config.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | change))
    odd = folder / "runs" / "wine_quality" / name.replace("/", "-") / "seed0-00000000"
    odd.mkdir(parents=True)
    (odd / "run.json").write_text('{"schema": 1, "status": "failed"}')
    found = read_results(folder)
    assert len(found.problems) == 4
    assert next(iter(found.runs[0].groups.values()))["name"].iloc[1] == name
    return found


def test_reports_hold_no_markup_of_a_record(tmp_path: Path) -> None:
    """The page's elements are those of records with a harmless name, to the number."""
    found = records_named(tmp_path / "hostile", HOSTILE)
    html = page.render(found, tmp_path / "hostile")
    seen = Tags(html)
    assert seen.tags == Tags(page.render(records_named(tmp_path / "plain", "plain"), tmp_path / "plain")).tags
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert "&lt;script&gt;alert(1)" in html
    for name, text in {**tables.files(found, tables.both(found)), "REPRODUCTION.md": ledger.markdown(found)}.items():
        for markup in ("<script", "<img", "\\input"):
            assert markup not in text, name


def test_latex_prints_the_character() -> None:
    """Each special character becomes an escape, a command or mathematics."""
    for character in "\\&%$#_{}~^<>":
        made = escape(f"a{character}b")
        assert made[0] + made[-1] == "ab"
        assert made[1:-1] in (f"\\{character}", f"${character}$") or made[1:-1].startswith("\\text"), character
