"""Networks of timm: weights, freezing, rates by part, and all that is done with a trained model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import opened
from mutations import assert_sentence
from PIL import Image

import l2m
from l2m import RunConfig, UserError, compose, predict, train
from l2m.catalog import registries
from l2m.data import Data, Split
from l2m.data.images import scaling
from l2m.strategies.inner_loop import Inner
from l2m.training.device import torch_state
from l2m.training.run import prepared

pytestmark = pytest.mark.extras
MODELS = registries()["model"]
STAGES = ["conv1", "layer1", "layer2", "layer3", "layer4"]
"""Of test_resnet, with the number of their parameters."""


def images(channels: int, side: int = 32, classes: int = 3) -> Data:
    labels = torch.arange(classes)
    pixels = torch.randint(0, 256, (classes, channels, side, side), generator=torch.Generator().manual_seed(0))
    scale, shift, preprocessing = scaling((0.4,) * channels, (0.3,) * channels)
    split = Split(pixels.to(torch.uint8), labels, labels, scale, shift)
    return Data(split, split, tuple(map(str, range(classes))), classes, preprocessing)


def built(data: Data, seed: int = 0, **options: Any) -> Any:
    problems: list[str] = []
    choice = MODELS.check({"name": "timm", "architecture": "test_resnet", **options}, problems)
    assert not problems
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MODELS.build(choice, data)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_sees_images_as_timm_does(weights: Path, channels: int) -> None:
    import timm

    data = images(channels)
    model = built(data, weights="right.pth", resolution=48).eval()
    own = timm.create_model("test_resnet", num_classes=3).eval()
    own.load_state_dict(torch.load("right.pth") | {f"fc.{k}": v for k, v in model.network.fc.state_dict().items()})
    cfg = timm.data.resolve_model_data_config(own)
    mean, sd = (torch.tensor(cfg[key]).view(-1, 1, 1) for key in ("mean", "std"))
    seen = ((data.train.inputs / 255).expand(-1, 3, -1, -1) - mean) / sd
    seen = torch.nn.functional.interpolate(seen, (48, 48), mode="bilinear")
    with torch.inference_mode():
        torch.testing.assert_close(model(data.train.batch(slice(3)).inputs), own(seen), rtol=1e-4, atol=1e-5)


def test_weights_come_in_any_form_and_the_last_layer_is_drawn(weights: Path) -> None:
    import timm
    from safetensors.torch import save_file

    values = torch.load("right.pth")
    save_file(values, "right.safetensors")
    torch.save({k: v for k, v in values.items() if not k.startswith("fc.")}, "headless.pth")
    other = timm.create_model("test_resnet", num_classes=11).state_dict()
    torch.save({"state_dict": {**values, **{k: v for k, v in other.items() if k.startswith("fc.")}}}, "eleven.pth")
    drawn = {seed: built(images(3), seed).network.state_dict() for seed in (0, 1)}
    assert not torch.equal(drawn[0]["layer1.0.conv1.weight"], drawn[1]["layer1.0.conv1.weight"])
    for file in ("right.pth", "right.safetensors", "headless.pth", "eleven.pth"):
        first, second = (built(images(3), seed, weights=file).network.state_dict() for seed in (0, 1))
        assert all(torch.equal(first[k], values[k]) for k in values if not k.startswith("fc."))
        assert first["fc.weight"].shape == (3, values["fc.weight"].shape[1])
        assert not torch.equal(first["fc.weight"], second["fc.weight"])


@pytest.mark.parametrize(
    ("freeze", "stages"), [("none", 0), ("0", 0), ("2", 2), ("layer1", 2), ("layer4", 5), ("all", 5)]
)
def test_stages_freeze_with_their_statistics(weights: Path, freeze: str, stages: int) -> None:
    model = built(images(3), freeze=freeze, weights="right.pth").train()
    before = {name: each.clone() for name, each in model.network.state_dict().items()}
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], 0.1)
    model(images(3, 64).train.batch(slice(3)).inputs).logsumexp(1).sum().backward()
    optimizer.step()
    after = model.network.state_dict()
    frozen = tuple(f"{stage}." for stage in [*STAGES, "bn1"][:stages] + ["bn1"] * (stages > 0))
    for name, value in before.items():
        if value.ndim == 4 or "running" in name:
            assert torch.equal(value, after[name]) is name.startswith(frozen), name


def test_batch_norm_over_processes_is_the_same_function(weights: Path) -> None:
    """On GPUs; in evaluation mode it computes here, too."""
    inputs = images(3).train.batch(slice(3)).inputs
    for architecture in ("test_resnet", "test_efficientnet"):
        model = built(images(3), architecture=architecture, freeze="1").eval()
        with torch.inference_mode():
            before = model(inputs)
        converted = model.synchronized()
        assert any(isinstance(layer, torch.nn.SyncBatchNorm) for layer in converted.modules())
        assert any(not each.requires_grad for each in converted.parameters())
        with torch.inference_mode():
            torch.testing.assert_close(converted(inputs), before)


RUN = ("dataset=digits", "model=timm", "model.architecture=test_resnet", "model.weights=right.pth", "batch_size=64",
       "model.freeze=layer2", "model.backbone_rate=0.1", "epochs=1", "device=cpu", "threads=1")  # fmt: skip


def config(*more: str) -> RunConfig:
    return compose(*RUN, *more)


def test_the_backbone_learns_at_its_own_rate(weights: Path) -> None:
    """Adam's first step moves every number by the rate, whatever its gradient."""
    start = torch.load("right.pth")
    run = config("learning_rate=0.01", "batch_size=490")
    with torch_state(run):
        trainer = prepared(run)
        head = trainer.model.network.fc.weight.detach().clone()
        assert trainer.steps == 1
        trainer.run_epoch()
    after = trainer.model.network.state_dict()
    assert torch.equal(after["layer2.0.conv1.weight"], start["layer2.0.conv1.weight"])
    for moved, rate in (
        (after["layer3.0.conv1.weight"] - start["layer3.0.conv1.weight"], 0.001),
        (after["fc.weight"] - head, 0.01),
    ):
        assert float(moved.abs().median()) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize(
    "words",
    [
        ("strategy=learn2mix", "warmup_steps=4", "schedule=cosine", "max_gradient_norm=1"),
        ("strategy=bilevel",), ("strategy=bilevel", "strategy.hypergradient=first_order"), ("strategy=pike",),
        ("strategy=curriculum", "strategy.warm_up=1"), ("strategy=classical", "mixing=guided"), ("optimizer=sgd",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_strategies_train_it(weights: Path, words: tuple[str, ...]) -> None:
    records = train(config(*words, "early_stopping=3", "epochs=2"))
    start, end = torch.load("right.pth"), torch.load(records.path / "model.pt", weights_only=True)["parameters"]
    for name, value in start.items():
        if value.ndim == 4 or "running" in name:
            frozen = name.startswith(("conv1", "bn1", "layer1", "layer2"))
            assert torch.equal(end[f"network.{name}"], value) is frozen, name


def test_repeated_steps_are_the_steps(weights: Path) -> None:
    """What bilevel differentiates through: with frozen stages and two rates."""
    run = config("strategy=bilevel", "strategy.inner_steps=3", "optimizer=sgd", "learning_rate=0.01")
    found: list[Any] = []

    def outer(inner: Inner) -> None:
        found.append((inner.unrolled(lambda _, losses: losses.mean()), copy.deepcopy(inner.parameters)))

    with torch_state(run):
        trainer = prepared(run)
        trainer.strategy.outer = outer  # type: ignore[method-assign]
        trainer.train_epoch()
    assert found
    for repeated, own in found:
        assert repeated.keys() == own.keys()
        assert not any("layer2" in name for name in own)
        for name, value in own.items():
            torch.testing.assert_close(repeated[name], value, rtol=1e-3, atol=1e-5)


def test_it_is_used_without_the_file_of_weights(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (60, 20, 20, 3)).astype(np.uint8)
    for i, each in enumerate(pixels):
        name = ("dark", "light")[i % 3 == 0]
        file = Path("photos", "test" if i >= 45 else "train", name, f"{i}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each + 55 * (name == "light")).save(file)
    words = ("dataset=image_folder", "dataset.path=photos", "dataset.resize=32", *RUN[1:], "batch_size=15", "epochs=4")
    records = train(compose(*words))
    Path("right.pth").unlink()
    assert records.path == train(compose(*words)).path
    result = opened(predict, monkeypatch, capsys)(f"run={records.path}", "data=photos/test")
    assert result.status == 0, result.err
    table = pd.read_csv("predictions.csv")
    assert np.isclose((table["predicted"] == table["actual"]).mean(), records.final.test_metric)
    assert type(l2m.load(records.path).model.network).__name__ == "ResNet"


def test_a_run_continues_to_the_same_bytes(weights: Path) -> None:
    run = config("epochs=2", "strategy=learn2mix")

    def epochs(count: int, state: Any = None) -> Any:
        with torch_state(run):
            trainer = prepared(run)
            if state:
                trainer.load_state_dict(state)
            for _ in range(count):
                trainer.run_epoch()
            return trainer.state_dict()

    whole, halves = epochs(2)["model"], epochs(1, epochs(1))["model"]
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_other_weights_in_the_file_are_noticed(weights: Path) -> None:
    train(config())
    values = torch.load("right.pth")
    torch.save({name: value + 1 for name, value in values.items()}, "right.pth")
    with pytest.raises(UserError, match=r"was trained on other files than data or right\.pth has now"):
        train(config())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"architecture": "test_resnett"}, r"is no network of timm \(did you mean test_resnet\?\)"),
        ({"weights": "other.pth"}, "cannot be loaded from other.pth"),
        ({"weights": "none.pth"}, "cannot be loaded from none.pth"),
        ({"weights": "code.pth"}, "cannot be loaded from code.pth"),
        ({"weights": "lost.pth"}, r"model\.weights=lost\.pth is not a file"),
        ({"weights": "pretrained"}, "cannot be loaded from the hub"),
        ({"freeze": "layer9"}, r"is no stage of test_resnet \(did you mean layer"),
        ({"freeze": "6"}, "use a number up to 5, none, all, or one of conv1, layer1"),
        ({"architecture": "test_vit", "resolution": 31}, "does not take images"),
    ],
)
def test_bad_input_gets_a_sentence(weights: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as error:
        built(images(3), **options)
    assert_sentence(str(error.value), Path("model."))
    assert not Path("was_executed").exists()


def test_without_the_extra_a_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr("l2m.errors.find_spec", lambda package: None)
    with pytest.raises(UserError, match=r"model\.architecture=test_resnet needs timm: pip install"):
        built(images(3))
