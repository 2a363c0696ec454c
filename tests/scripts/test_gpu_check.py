"""The GPU check, on a CPU: every item is listed with its result, and a failed one stops no other."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
from fake_device import fake_gpu
from torch import Tensor

from l2m.data import Batch
from l2m.strategies.focal import Focal

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--device", "cpu", "--quick", "--random-data")


@pytest.fixture
def gpu_check(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as a module; the import path that it changes is restored."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    import gpu_check

    yield gpu_check
    for name in ("gpu_check", "gpu_items", "gpu_place"):
        sys.modules.pop(name, None)


def run(script: ModuleType, folder: Path, *words: object) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """Run the script; its exit status, and its items by section and name. Text and JSON must agree."""
    with pytest.raises(SystemExit) as end:
        script.main([*map(str, words), "--folder", str(folder)])
    items = json.loads((folder / "results.json").read_text())["items"]
    texts = [script.format_item(item) for item in items]
    assert (folder / "results.txt").read_text().splitlines()[1:] == "\n".join(texts).splitlines()
    for item, text in zip(items, texts, strict=True):
        assert max(map(len, text.splitlines())) <= 80
        text = " ".join(text.split())
        assert text.startswith(item["status"])
        assert f"{item['section']}: {item['name']} (" in text
        assert item["detail"], "an observation or a reason"
    assert isinstance(end.value.code, int)
    return end.value.code, {(item["section"], item["name"]): item for item in items}


@pytest.fixture
def broken_focal(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(*arguments: object) -> NoReturn:
        raise RuntimeError("injected")

    monkeypatch.setattr(Focal, "loss", loss)


def choose_checks(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the script have these checks alone."""
    import gpu_items

    def chosen(place: gpu_items.Place) -> list[gpu_items.Item]:
        return [item for item in gpu_items.list_checks(place) if item.name in names]

    monkeypatch.setattr(gpu_items, "SECTIONS", {"checks": chosen})


@pytest.mark.usefixtures("broken_focal")
def test_an_item_that_fails_stops_no_other(
    gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {
        "focal, kernels": "failed",
        "learn2mix, kernels": "passed",
        "learn2mix, CUDA graphs": "skipped",
        "no waits, learn2mix": "skipped",
        "prediction": "passed",
    }
    choose_checks(monkeypatch, *expected)
    status, items = run(gpu_check, tmp_path, *QUICK)
    assert status == 1
    assert {name: item["status"] for (_, name), item in items.items()} == expected
    assert items["checks", "focal, kernels"]["detail"] == "RuntimeError: injected"


@pytest.mark.long
@pytest.mark.usefixtures("broken_focal")
def test_all_items_end_on_a_cpu(gpu_check: ModuleType, tmp_path: Path) -> None:
    status, items = run(gpu_check, tmp_path, *QUICK)
    failed = {name for (_, name), item in items.items() if item["status"] == "failed"}
    assert (status, failed) == (1, {"focal, kernels", "no waits, focal"})
    assert items["checks", "focal, kernels"]["detail"] == "RuntimeError: injected"
    assert {item["status"] for item in items.values()} == {"passed", "skipped", "failed"}
    skipped = {name: item["detail"] for (_, name), item in items.items() if item["status"] == "skipped"}
    assert skipped.pop("layouts, mnist, tf32") == skipped.pop("layouts, imagenette, tf32") == "a CPU has no TF32"
    del skipped["layouts, imagenette, bf16"]
    strategies = {file.stem for file in (ROOT / "conf" / "strategy").glob("*.yaml")}
    for strategy in strategies:
        assert skipped.pop(f"{strategy}, CUDA graphs") == "CUDA graphs need a GPU"
        assert strategy == "focal" or "steps" in skipped.pop(f"no waits, {strategy}")
    assert set(skipped.values()) == {"a whole run is not quick"}
    passed = {name for (_, name), item in items.items() if item["status"] == "passed"}
    assert passed == {f"{strategy}, kernels" for strategy in strategies - {"focal"}} | {
        "learn2mix, fp32", "learn2mix, tf32", "learn2mix, bf16", "bilevel, first order", "mixup", "guided mixing",
        "augmentation", "two steps, imdb", "two steps, imagenette", "resumed on CPU, GPU, CPU", "prediction",
        "sweep of two workers", "peak memory, mean_estimation", "layouts, mnist, fp32", "layouts, mnist, bf16",
        "layouts, imagenette, fp32", "mean_estimation", "wine_quality", "california_housing",
    }  # fmt: skip
    sections = list(dict.fromkeys(section for section, _ in items))
    assert sections == ["checks", "bench", "together", "imagenette", "imdb"]
    assert (tmp_path / "bench" / "small.md").is_file()


def test_items_beyond_the_minutes_are_skipped(
    gpu_check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, items = run(gpu_check, tmp_path, *QUICK, "--minutes", 0)
    assert status == 0
    assert {item["status"] for item in items.values()} == {"skipped"}
    assert items["imagenette", "imagenette, learn2mix, seed 0"]["detail"] == "takes about 150 s, and 0 s are left"
    seen = capsys.readouterr().out
    assert all(f"\n{section}: " in f"\n{seen}" for section in ("checks", "bench", "together", "imagenette", "imdb"))
    assert "s on an H100; 0 s are left" in seen


def test_checks_and_benchmark_fit_into_eight_minutes(gpu_check: ModuleType, tmp_path: Path) -> None:
    import gpu_items
    import gpu_place

    place = gpu_place.Place("cuda", False, tmp_path, tmp_path, tmp_path, tmp_path)
    costs = {name: sum(item.seconds for item in gpu_items.SECTIONS[name](place)) for name in ("checks", "bench")}
    assert sum(costs.values()) <= 480


def test_ended_items_are_kept(gpu_check: ModuleType, tmp_path: Path) -> None:
    before = {"section": "checks", "name": "prediction", "status": "passed", "detail": "0 apart", "seconds": 3.0}
    lost = before | {"name": "mixup", "status": "not reached", "detail": "the script ended before"}
    (tmp_path / "results.json").write_text(json.dumps({"head": {}, "items": [before, lost]}))
    status, items = run(gpu_check, tmp_path, *QUICK, "--only", "checks", "--minutes", 0, "--continue")
    assert (status, items["checks", "prediction"]) == (0, before)
    assert items["checks", "mixup"]["status"] == "skipped"
    _, items = run(gpu_check, tmp_path, *QUICK, "--only", "checks", "--minutes", 0)
    assert items["checks", "prediction"]["status"] == "skipped"


def test_after_a_lost_gpu_another_process_continues(
    gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpu_items
    import gpu_place

    class ReplacedError(Exception):
        pass

    def replaced(program: str, words: list[str]) -> NoReturn:
        raise ReplacedError(*words)

    def fail() -> NoReturn:
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(gpu_check, "is_gpu_lost", lambda: True)
    monkeypatch.setattr(gpu_check.os, "execv", replaced)
    items = [gpu_items.Item(name, 1.0, fail) for name in ("first", "second")]
    place = gpu_place.Place("cuda", True, tmp_path, tmp_path, tmp_path, tmp_path / "scratch")
    place.scratch.mkdir()
    results = gpu_check.Results(tmp_path, {}, False)
    with pytest.raises(ReplacedError, match=r"--continue.*--minutes="):
        gpu_check.run_items(place, {"checks": items}, gpu_check.time.monotonic() + 60, results)
    assert [item["status"] for item in results.items.values()] == ["failed", "not reached"]
    assert not place.scratch.exists()


def test_needs_have_the_tested_versions(gpu_check: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    gpu_check.main(["--needs"])
    needs = capsys.readouterr().out.split()
    pins = {line.split(" ;")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert set(needs) <= pins
    assert [need.partition("==")[0] for need in needs] == list(gpu_check.NEEDS), "each has a pin"


def test_a_gpu_that_is_missing_is_an_error(
    gpu_check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        gpu_check.main(["--folder", str(tmp_path / "new")])
    assert end.value.code == 2
    assert "needs a GPU that torch can see: try the script with --device cpu" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_some_checks_pass_on_a_fake_gpu(gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("focal, CUDA graphs", "no waits, learn2mix", "no waits, bilevel", "prediction", "layouts, mnist, tf32")
    choose_checks(monkeypatch, "pike, CUDA graphs", *names)
    with fake_gpu():
        status, items = run(gpu_check, tmp_path, "--device", "cuda", "--quick", "--random-data")
    assert status == 0
    assert items.pop(("checks", "pike, CUDA graphs"))["detail"] == "its steps cannot be replayed"
    assert {name: item["status"] for (_, name), item in items.items()} == dict.fromkeys(names, "passed")
    assert "replayed as CUDA graphs" in items["checks", "focal, CUDA graphs"]["detail"]


def test_a_capture_that_fails_is_found(gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = Focal.loss

    def waiting(strategy: Focal, batch: Batch, per_sample: Tensor) -> Tensor:
        per_sample.sum().item()
        return loss(strategy, batch, per_sample)

    monkeypatch.setattr(Focal, "loss", waiting)
    choose_checks(monkeypatch, "focal, kernels", "focal, CUDA graphs")
    with fake_gpu():
        _, items = run(gpu_check, tmp_path, "--device", "cuda", "--quick", "--random-data")
    assert {name: item["status"] for (_, name), item in items.items()} == {
        "focal, kernels": "passed",
        "focal, CUDA graphs": "failed",
    }
    assert "launched kernel by kernel" in items["checks", "focal, CUDA graphs"]["detail"]


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("cuda:7", "device=cuda:7 is not available"), ("gpu", "device='gpu' must be one of auto, cpu, cuda, cuda:N")],
)
def test_a_gpu_of_another_name_is_an_error(
    gpu_check: ModuleType, device: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_gpu(), pytest.raises(SystemExit) as end:
        gpu_check.main(["--device", device, "--folder", str(tmp_path / "new")])
    assert end.value.code == 2
    assert f"error: {sentence}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_auto_is_the_gpu(gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose_checks(monkeypatch, "classical, CUDA graphs")
    with fake_gpu():
        status, items = run(gpu_check, tmp_path, "--device", "auto", "--quick", "--random-data")
    assert (status, items["checks", "classical, CUDA graphs"]["status"]) == (0, "passed")


@pytest.mark.long
def test_the_checks_pass_on_a_fake_gpu(gpu_check: ModuleType, tmp_path: Path) -> None:
    """Except those that need other processes to see the GPU, or its memory."""
    with fake_gpu():
        _, items = run(gpu_check, tmp_path, "--device", "cuda", "--quick", "--random-data", "--only", "checks")
    failed = {name for (_, name), item in items.items() if item["status"] == "failed"}
    assert not {name for name in failed if not name.startswith(("sweep", "peak memory"))}, failed
    assert sum(item["status"] == "passed" for item in items.values()) > 30
