"""Exported models, run by onnxruntime: the same numbers as torch's, for any number of samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import opened
from PIL import Image
from sklearn.datasets import load_digits

import l2m
from l2m import UserError, predict
from l2m.catalog import registries
from l2m.data import Data, Split
from l2m.data.images import scaling
from l2m.evaluation.onnx_export import export
from l2m.trained import Trained

pytestmark = pytest.mark.extras
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

MODELS = registries()["model"]
CLASSES = 5


def images(channels: int, side: int, reconstruction: bool = False) -> Data:
    groups = torch.arange(CLASSES)
    scale, shift, preprocessing = scaling((0.4,) * channels, (0.2,) * channels)
    pixels = torch.zeros((CLASSES, channels, side, side), dtype=torch.uint8)
    split = Split(pixels, None if reconstruction else groups, groups, scale, shift)
    return Data(split, split, tuple("abcde"), None if reconstruction else CLASSES, preprocessing)


def tokens() -> Data:
    labels = torch.arange(2)
    split = Split(torch.zeros((2, 30), dtype=torch.int32), labels, labels)
    return Data(split, split, ("no", "yes"), 2, {"vocabulary": [str(word) for word in range(40)]})


def table() -> Data:
    """Of a regression: measurements of sizes far apart, as a published table has them."""
    split = Split(torch.zeros(2, 3), torch.zeros(2, 1), torch.arange(2))
    fitted = {"columns": list("xyz"), "mean": [1000.0, 0.01, -3.0], "sd": [200.0, 0.001, 2.0], "target_unit": [100.0]}
    return Data(split, split, ("a", "b"), None, fitted)


TIMM = [
    ("timm", images(1, 16), ("model.architecture=test_efficientnet", "model.resolution=32", "model.freeze=all")),
    ("timm", images(3, 32), ("model.architecture=test_vit",)),
]
"""Where it is installed."""

CASES = [
    ("autoencoder", images(1, 12, reconstruction=True), ()), ("lenet5", images(1, 28), ()),
    ("lenet5_large", images(3, 32), ()), ("lenet_300_100", images(1, 28), ()), ("mlp", table(), ()),
    ("mlp", images(1, 8), ()), ("mobilenet_v3", images(3, 16), ("model.resolution=32",)),
    ("resnet18", images(3, 32), ()), ("transformer", tokens(), ()), *(TIMM if find_spec("timm") else []),
    ("transformer", tokens(), ("model.mask_padding=true",)),
]  # fmt: skip


def trained(name: str, data: Data, options: Sequence[str]) -> Trained:
    config = l2m.compose("dataset=digits" if data.classes else "dataset=wine_quality", f"model={name}", *options)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = MODELS.build(config.model, data)
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1  # statistics of the inputs below: else all outputs of a deep network are alike
        model(next(replace(data.train, inputs=drawn(data, len(data.train))).passes()).inputs)
    return Trained(Path(), config, model.eval(), Data.like(data.described()), torch.device("cpu"))


def drawn(data: Data, count: int) -> torch.Tensor:
    """Samples at rest."""
    draw, like = torch.Generator().manual_seed(count), data.train.inputs
    shape = (count, *like.shape[1:])
    if like.dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=like.dtype, generator=draw)
    if like.dtype == torch.int32:
        return torch.randint(0, data.vocabulary_size or 0, shape, dtype=like.dtype, generator=draw)
    return torch.randn(shape, generator=draw)


def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def test_every_registered_model_is_among_the_cases() -> None:
    assert {name for name, _, _ in CASES} | {"timm"} == set(MODELS.names())


DEEP = {"mobilenet_v3", "timm"}
"""Those that take longest to export; `make test-long` does it."""


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        pytest.param(*case, marks=[pytest.mark.long] * (case[0] in DEEP), id=f"{case[0]}-{i}")
        for i, case in enumerate(CASES)
    ],
)
def test_an_exported_model_predicts_as_torch_does(
    name: str, data: Data, options: Sequence[str], tmp_path: Path
) -> None:
    subject = trained(name, data, options)
    export(subject, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    served = session(tmp_path / "model.onnx")
    for count in (1, 2, 5):
        samples = drawn(data, count)
        expected = subject.predicted(subject.outputs(subject.split(samples))).numpy()
        if "columns" in data.preprocessing:  # measurements as they are
            mean, sd = (torch.tensor(data.preprocessing[key]) for key in ("mean", "sd"))
            samples = samples * sd + mean
        (found,) = served.run(None, {"samples": samples.numpy()})
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert len(np.unique(found)) > 1


def test_a_run_is_exported_and_scores_as_the_suite_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = l2m.compose("dataset=digits", "epochs=1", "device=cpu", "threads=1", f"results_dir={tmp_path}")
    before = l2m.train(config).path
    door = opened(predict, monkeypatch, capsys)
    pixels = (load_digits().images[:6, None] * (255 / 16)).round().astype(np.uint8)
    (tmp_path / "new").mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image[0]).save(tmp_path / "new" / f"{i}.png")
    result = door(f"run={before}", "data=new", "onnx=digits.onnx")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("digits.onnx\n6 samples of new")
    served = session(tmp_path / "digits.onnx")
    (found,) = served.run(None, {"samples": load_digits().images[:6, None].astype(np.uint8)})
    table = pd.read_csv("predictions.csv").filter(like="probability")
    np.testing.assert_allclose(found, table, rtol=1e-4)
    names = json.loads(served.get_modelmeta().custom_metadata_map["class_names"])
    assert [f"probability {name}" for name in names] == table.columns.tolist()
    assert "error: onnx=digits.onnx exists: name another file" in door(f"run={before}", "onnx=digits.onnx").err


class Sorted(torch.nn.Module):
    """Branches on values, which no exporter can follow."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.flatten(1)[:, :CLASSES] * (2 if inputs.sum().item() > 0 else 3)


def test_what_can_not_be_exported_is_reported(tmp_path: Path) -> None:
    good = trained("mlp", images(1, 8), ())
    subject = Trained(good.folder, good.config, Sorted(), good.data, good.device)
    with pytest.raises(UserError, match=r"^model=mlp cannot be exported to ONNX by torch .*: use it from Python"):
        export(subject, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
