"""The benchmark: both sides of a comparison do the same work, ratios are taken within rounds, misses are bold."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from commands import Command, script

import l2m
from benchmark import growth, memory, parts, random_data, rows, sampling, startup, storage, suite, table, timing
from benchmark.plain import Plain
from benchmark.random_data import draw, load_or_draw
from benchmark.rows import ROWS
from benchmark.timing import ratio, time_in_turns
from l2m import UserError
from l2m.catalog import registries
from l2m.data import load
from l2m.records import provenance
from l2m.training.engine import Trainer

BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench.py"
CPU, META = torch.device("cpu"), torch.device("meta")


def test_contenders_run_in_turns() -> None:
    called: list[str] = []
    contenders = {name: lambda name=name: called.append(name) for name in "abc"}
    seconds = time_in_turns(contenders, 3, CPU)
    assert ["".join(called[at : at + 3]) for at in range(0, 12, 3)] == ["cab", "abc", "bca", "cab"], "warm-up, rounds"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_seconds_are_those_of_the_clock() -> None:
    """Each takes as long as it says itself, and all of them as long as the whole: on a busy machine as well."""
    own: dict[str, list[float]] = {"short": [], "long": []}

    def wait(name: str, seconds: float) -> None:
        began = time.perf_counter()
        time.sleep(seconds)
        own[name].append(time.perf_counter() - began)

    began = time.perf_counter()
    contenders = {"short": lambda: wait("short", 0.01), "long": lambda: wait("long", 0.03) or {"part": 7.0}}
    seconds = time_in_turns(contenders, 2, CPU)
    whole = time.perf_counter() - began
    warm_up = own["short"].pop(0) + own["long"].pop(0)
    for name, slept in own.items():
        assert all(inner <= outer for inner, outer in zip(slept, seconds[name], strict=True))
    assert sum(seconds["short"]) + sum(seconds["long"]) <= whole - warm_up
    assert seconds["part"] == [7.0, 7.0]


def test_the_clock_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a contender has only launched is part of its seconds, and no part of the next one's."""
    launched: list[float] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: [time.sleep(launched.pop()) for _ in launched[:]])
    contenders = {"slow": lambda: launched.append(0.05), "quick": lambda: launched.append(0.0)}
    seconds = time_in_turns(contenders, 2, torch.device("cuda"))
    assert min(seconds["slow"]) >= 0.05
    assert not launched


def test_every_clock_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[torch.device] = []
    monkeypatch.setattr(timing, "wait_for", waits.append)
    monkeypatch.setattr(growth, "GROUPS", (2,))
    monkeypatch.setattr(parts, "EPOCHS", {"mean_estimation": 1})
    monkeypatch.setattr(rows, "EPOCHS", 1)
    counts = []
    for measure in (
        lambda: growth.measure_groups(2, samples=1000, device="cpu"),
        lambda: growth._measure(2000, "cpu"),
        lambda: parts.measure("mean_estimation", "cpu", random=True),
        lambda: rows.measure("mean_estimation", 2, device="cpu", random=True),
    ):
        before = len(waits)
        measure()
        counts.append(len(waits) - before)
    groups, samples, part, row = counts
    assert (groups, samples) == (2 * 2 * 3, 2 * 3), "before and after each of two, in three rounds; three epochs"
    assert part >= 6, "each part"
    assert row == 2 * 8 * 3, "evaluation and limit among them"
    assert set(waits) == {CPU}


def test_a_ratio_is_taken_within_a_round() -> None:
    result = ratio([2.0, 30.0, 4.0, 8.0, 5.0], [1.0, 10.0, 1.0, 1.0, 1.0])  # 2, 3, 4, 8, 5
    assert result == {"median": 4.0, "quartiles": [3.0, 5.0]}


@pytest.mark.parametrize("strategy", ["classical", "learn2mix"])
def test_the_plain_way_learns_as_the_engine_does(strategy: str, tmp_path: Path) -> None:
    config = l2m.compose("dataset=digits", f"strategy={strategy}", "model=lenet5_large", f"results_dir={tmp_path}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain, ours = Plain(config, load(config), CPU), Trainer(config)
        plain.model.load_state_dict(  # ReLU and pooling have changed places, and have no parameters
            dict(zip(plain.model.state_dict(), ours.model.state_dict().values(), strict=True))
        )
        assert plain.evaluate(plain.test) == pytest.approx(float(ours.evaluate().metric), abs=1e-6)
        for _ in range(5):
            plain.epoch()
            ours.run_epoch()
        accuracies = plain.evaluate(plain.test), float(ours.evaluate().metric)
    assert min(accuracies) > 0.3, "chance is 0.1"
    assert abs(accuracies[0] - accuracies[1]) < 0.1


@pytest.mark.parametrize("strategy", ["classical", "learn2mix"])
def test_the_plain_way_computes_where_the_engine_does(strategy: str) -> None:
    plain = Plain(l2m.compose("dataset=mnist", f"strategy={strategy}"), draw("mnist", 3000), META)
    assert {each.device for each in plain.model.parameters()} == {META}
    batches = plain._mixed() if strategy == "learn2mix" else plain._batches(plain.train, shuffle=True)
    inputs, targets, _ = next(iter(batches))
    assert plain.criterion(plain.model(inputs), targets).device == META, "two devices would not go together"


def test_random_data_take_the_place_of_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: object) -> NoReturn:
        raise AssertionError("the data set was looked for")

    monkeypatch.setattr(random_data.data, "load", refuse)
    for row, (train, test) in {"mean_estimation": (3000, 4000), "wine_quality": (1043, 3249)}.items():
        config = l2m.compose(f"dataset={row}")
        drawn, kind = load_or_draw(config, random=True)
        assert (len(drawn.train), len(drawn.test), kind) == (train, test, "random, of the true shape")


@pytest.mark.parametrize("name", ROWS)
def test_random_data_have_the_rows_shape(name: str) -> None:
    config = l2m.compose(f"dataset={name}")
    drawn = draw(name, 20)
    assert len(drawn.train) == 20
    assert 2 <= len(drawn.test) <= 63, "the row's share"
    assert registries()["model"].build(config.model, drawn)(drawn.train.batch(slice(0, 2)).inputs).shape[0] == 2


@pytest.mark.parametrize("name", ["mnist", "cifar10", "mean_estimation", "wine_quality", "cifar10_reconstruction"])
def test_random_data_are_like_real_ones(name: str, tiny_data: Path) -> None:
    real, drawn = load(l2m.compose(f"dataset={name}", f"data_dir={tiny_data}")), draw(name, 100)
    assert drawn.train.inputs.shape[1:] == real.train.inputs.shape[1:]
    assert drawn.train.inputs.dtype == real.train.inputs.dtype
    assert drawn.train.batch(slice(0, 3)).targets.dtype == real.train.batch(slice(0, 3)).targets.dtype
    assert (len(drawn.group_names), drawn.classes) == (len(real.group_names), real.classes)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``scripts/bench.py``, with two epochs a measurement."""
    monkeypatch.setattr(rows, "EPOCHS", 2)
    return script(BENCH, monkeypatch, capsys)


def test_the_script_measures_a_row_and_keeps_the_others(bench: Command, tmp_path: Path) -> None:
    before = {"groups": [{"groups": 2, "asked": 1.03, **ratio([3, 3], [2, 2])}]}
    before["measured"] = {"groups": {"when": "2026-01-02T03:04:05+00:00", "commit": "0123456789"}}
    (tmp_path / "here.json").write_text(json.dumps(before))
    result = bench("--only", "rows", "--rows", "mean_estimation", "--rounds", 2, "--host", "here", "--folder", tmp_path)
    assert (result.status, result.err) == (0, "")
    figures = json.loads((tmp_path / "here.json").read_text())
    row = figures["rows"]["mean_estimation"]
    assert row["seconds"]["learn2mix training"] < row["seconds"]["learn2mix"]
    by_name = {(each["of"], each["to"]): each for each in row["ratios"]}
    limit = by_name["learn2mix training", "limit"]
    assert limit["quartiles"][0] <= limit["median"] <= limit["quartiles"][1]
    page = (tmp_path / "here.md").read_text()
    assert page == table.format_page(figures)
    assert "| 2 | **1.5 (1.5 to 1.5)**, target ≤ 1.03 |" in page, "an earlier measurement stays"
    assert "; groups 2026-01-02 at 01234567." in page, "with its own day"
    stamp = row["measured"]
    assert f"| {stamp['when'][:10]} at {stamp['commit'][:8]} |" in page


def test_rows_without_data_and_without_the_plain_way(
    bench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without git, data sets and much time."""
    monkeypatch.setattr(provenance, "_commit", lambda: None)
    words = ("--host", "here", "--folder", tmp_path, "--rounds", 2, "--device", "cpu", "--rows", "mean_estimation")
    result = bench("--only", "suite", "rows", "--random-data", "--no-plain", *words)
    assert (result.status, result.err) == (0, "")
    figures = json.loads((tmp_path / "here.json").read_text())
    row = figures["rows"]["mean_estimation"]
    assert not [what for what in row["seconds"] if "plain" in what]
    assert row["measured"]["commit"] is None
    page = (tmp_path / "here.md").read_text()
    assert "| mean_estimation (random, of the true shape) | 6 | " in page
    assert f"| – | {row['measured']['when'][:10]} at an unknown commit |" in page
    assert [one["strategy"] for one in figures["suite"]] == ["classical", "learn2mix"]
    assert all(one["measured"]["commit"] is None for one in figures["suite"]), "each says when it was measured"
    figures["rows"]["wine_quality"] = row | {
        "ratios": [*row["ratios"], {"of": "plain", "to": "it", **ratio([2, 2], [1, 1])}]
    }
    assert "| plain / it |" in table.format_page(figures), "of a row that was measured whole"
    result = bench("--only", "start", "groups", "--random-data", *words)
    assert result.status == 2
    assert "--random-data cannot measure start, which" in result.err


def test_what_was_measured_of_the_suite_is_kept_row_by_row(
    bench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = suite.measure

    def measured(row: str, *rest: Any) -> Iterator[dict[str, Any]]:
        if row == "wine_quality":
            raise UserError("the machine is needed by another")
        yield from measure(row, *rest)

    monkeypatch.setattr(suite, "measure", measured)
    words = ("--random-data", "--rounds", 2, "--device", "cpu", "--host", "here", "--folder", tmp_path)
    assert bench("--only", "suite", "--rows", "mean_estimation", "wine_quality", *words).status == 1
    figures = json.loads((tmp_path / "here.json").read_text())
    assert [one["row"] for one in figures["suite"]] == ["mean_estimation"] * 2


def test_figures_of_two_machines_are_not_mixed(bench: Command, tmp_path: Path) -> None:
    file = tmp_path / "there.json"
    file.write_text(json.dumps({"machine": "an abacus", "torch": torch.__version__}))
    result = bench("--only", "rows", "--rows", "mean_estimation", "--host", "there", "--folder", tmp_path)
    assert (result.status, list(tmp_path.iterdir())) == (2, [file])
    assert f"{file} was measured on an abacus, not " in result.err
    assert "give --host another name" in result.err


def test_the_parts_of_an_epoch_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "EPOCHS", {"mean_estimation": 1})
    result = parts.measure("mean_estimation")
    seconds = dict(result["seconds"])
    assert seconds.pop("bare steps") > 0
    assert set(seconds) == {
        "epoch", "plan", "batches", "steps", "groups' losses", "evaluation", "new proportions", "rest"
    }  # fmt: skip
    assert min(seconds.values()) > 0
    assert seconds.pop("epoch") == pytest.approx(sum(seconds.values()))
    assert f"| mean_estimation | {result['steps']} | " in "\n".join(table.SECTIONS["parts"]([result]))


def test_the_suite_is_timed_row_by_row() -> None:
    result = list(suite.measure("wine_quality", epochs=1))
    assert [one["strategy"] for one in result] == ["classical", "learn2mix"], "the others are for classification"
    assert result[0]["whole"] == pytest.approx(5 * 300 * min(result[0]["epoch"].values()))
    page = "\n".join(table.SECTIONS["suite"](result))
    assert f"{sum(one['whole'] for one in result) / 60:.3g} minutes" in page
    assert "| wine_quality" in page


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_bench_says_so(bench: Command, tmp_path: Path) -> None:
    result = bench("--gpu", "--folder", tmp_path / "bench")
    assert (result.status, list(tmp_path.iterdir())) == (2, [])
    assert "--gpu needs a GPU that torch can see: use --only suite to time the CPU" in result.err


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("gpu", "device='gpu' must be one of auto, cpu, cuda, cuda:N"), ("mps", "device=mps lacks float64")],
)
def test_a_device_that_cannot_be_used_is_one_sentence(
    bench: Command, device: str, sentence: str, tmp_path: Path
) -> None:
    result = bench("--only", "groups", "--device", device, "--folder", tmp_path / "bench")
    assert result.status == 2
    assert f"error: {sentence}" in result.err
    assert not list(tmp_path.iterdir())


def test_missed_targets_are_bold() -> None:
    met = {"of": "plain", "to": "ours", "asked": 2.0, "at least": True, "median": 2.5, "quartiles": [2.4, 2.6]}
    assert table._ratio(met) == "2.5 (2.4 to 2.6), target ≥ 2"
    assert table._ratio(met | {"median": 1.5}) == "**1.5 (2.4 to 2.6)**, target ≥ 2"
    assert table._ratio(met | {"median": 2.5, "at least": False}) == "**2.5 (2.4 to 2.6)**, target ≤ 2"
    assert table._ratio(met | {"asked": None}) == "2.5 (2.4 to 2.6)"


@pytest.mark.long
def test_memory_is_reported_part_by_part() -> None:
    ours = np.ones(2**25)  # 256 MiB of this process are not the other's
    result = memory.measure("mean_estimation", "learn2mix", times=1)
    assert result["peak"] < ours.nbytes / 4
    assert 0 <= result["stages"]["loaded"] <= result["stages"]["prepared"] <= result["peak"]
    parameters = 4 * (64 * 10 + 64 + 64 + 1)
    assert result["parts"]["3 × parameters"] == 3 * parameters
    assert result["parts"]["Adam"] == 2 * parameters
    data = load(l2m.compose("dataset=mean_estimation"))
    assert result["parts"]["data at rest"] == (len(data.train) + len(data.test)) * (10 * 4 + 4 + 8)
    assert result["of"] == pytest.approx(result["peak"] / sum(result["parts"].values()))


@pytest.mark.long
def test_memory_is_counted_where_the_run_is() -> None:
    result = memory.measure("wine_quality", "learn2mix", times=1, device="cpu", random=True)
    assert result["data"] == "random, of the true shape"
    assert result["parts"]["data at rest"] > 0
    assert result["parts"]["activations of a batch"] > 0


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux's account of what was read")
def test_an_epoch_from_a_mapped_file_is_measured_cold_too(tmp_path: Path) -> None:
    result = storage.measure(2, tmp_path, "cpu", samples=1500)
    assert [one["of"] for one in result] == ["images", "features"]
    assert [one["bytes"] for one in result] == [128 + 1500 * 3 * 32**2, 128 + 1500 * 4 * 1280]
    for one in result:
        assert np.isfinite([one["median"], one["cold"]["median"], one["bytes read"]]).all()
    page = "\n".join(table.SECTIONS["storage"](result))
    assert "| images | 4 |" in page
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_growth_is_measured_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SAMPLES", (2000, 4000))
    assert [one["samples"] for one in growth.measure_samples()] == [2000, 4000]
    monkeypatch.setattr(growth, "GROUPS", (2, 1000))
    result = growth.measure_groups(2, samples=2000, device="cpu")
    assert [one["groups"] for one in result] == [2, 1000]
    assert all(np.isfinite(one["median"]) for one in result)


@pytest.mark.long
def test_samplers_are_measured_as_far_as_they_can_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = sampling.draw_labels(20_000, 50)
    counts = torch.bincount(labels)
    assert (labels.shape, len(counts)) == ((20_000,), 50)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.15)
    monkeypatch.setattr(sampling, "SIZES", ((5000, 5000), (20_000, 50)))
    page = "\n".join(table.SECTIONS["sampler"](sampling.measure(1)))
    assert page.count("(0.") == 8
    monkeypatch.setattr(sampling, "MOST", 4999)
    assert "weighted" not in sampling._measure(5000, 5)
    page = "\n".join(table.SECTIONS["sampler"]([{"samples": 1, "groups": 1, "measured": [sampling._measure(5000, 5)]}]))
    assert page.count("cannot") == 2


@pytest.mark.long
def test_a_comparison_is_timed_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    small = startup.draw_table(rows=200, inputs=3)
    assert (small["outcome"].value_counts().to_dict(), small.shape) == ({"no": 180, "yes": 20}, (200, 4))
    monkeypatch.setattr(startup, "draw_table", lambda: small)
    monkeypatch.setattr(startup, "STRATEGIES", ("balanced",))
    result = startup.measure_comparison(2)
    assert result["seconds"]["least"] > 1
    page = "\n".join(table.SECTIONS["compare"](result | {"seconds": {"median": 81, "least": 80, "most": 82}}))
    assert "**81 (80 to 82)**, target ≤ 80" in page


@pytest.mark.long
def test_the_first_step_is_waited_for(tmp_path: Path) -> None:
    assert startup.time_first_step("digits", str(tmp_path)) > 0.1
    (run,) = tmp_path.rglob("run.json")
    assert json.loads(run.read_text())["status"] == "running", "it ended there"


def test_a_failed_command_is_not_timed() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        startup._seconds("-m", "l2m.run", "dataset=mnits")
