"""Networks: outputs and parameters of torchvision's, sizes they take, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from l2m import UserError
from l2m.catalog import registries
from l2m.data import Data, Split

MODELS = registries()["model"]


def images(channels: int, side: int, classes: int = 7) -> Data:
    labels = torch.arange(classes)
    split = Split(torch.zeros(classes, channels, side, side, dtype=torch.uint8), labels, labels)
    return Data(split, split, tuple(map(str, range(classes))), classes, {})


def built(name: str, data: Data, **options: Any) -> torch.nn.Module:
    problems: list[str] = []
    choice = MODELS.check({"name": name, **options}, problems)
    assert not problems
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS.build(choice, data)
    assert isinstance(model, torch.nn.Module)
    return model


@pytest.mark.parametrize(
    ("name", "side"), [("resnet18", 224), ("resnet18", 32), ("mobilenet_v3", 32), ("mobilenet_v3", 1)]
)
def test_colour_images_of_any_size_give_an_output_a_class(name: str, side: int) -> None:
    model = built(name, images(3, side))
    with torch.inference_mode():
        assert model.eval()(torch.rand(2, 3, side, side)).shape == (2, 7)


def test_parameters_are_as_many_as_published() -> None:
    """He et al. and Howard et al., with a last layer of ten outputs for a thousand."""
    for name, published, width in (("resnet18", 11_689_512, 512), ("mobilenet_v3", 2_542_856, 1024)):
        count = sum(p.numel() for p in built(name, images(3, 224, 10)).parameters())
        assert count == published - (width + 1) * 990


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3"])
def test_parameters_are_drawn_from_torchs_generator(name: str) -> None:
    data = images(3, 32)
    first, second = (torch.cat([p.flatten() for p in built(name, data).parameters()]) for _ in range(2))
    assert torch.equal(first, second)


def test_mobilenet_resizes_inside() -> None:
    given = torch.rand(2, 3, 32, 32)
    small, large = (built("mobilenet_v3", images(3, 32), resolution=side).eval() for side in (32, 64))
    resized = torch.nn.functional.interpolate(given, size=(64, 64), mode="bilinear")
    with torch.inference_mode():
        torch.testing.assert_close(large(given), small[1](resized))  # type: ignore[index]
        torch.testing.assert_close(small(given), small[1](given))  # type: ignore[index]


@pytest.mark.parametrize(("name", "size"), [("resnet18", "at least 32×32 pixels"), ("mobilenet_v3", "any size")])
def test_other_inputs_are_refused(name: str, size: str) -> None:
    with pytest.raises(
        UserError, match=f"model={name} takes colour images of {size}, not .*\\(1, 32, 32\\): use model=mlp"
    ):
        built(name, images(1, 32))
    rows = images(3, 32)
    rows = replace(rows, train=replace(rows.train, inputs=torch.rand(7, 10)))
    with pytest.raises(UserError, match=r"not inputs of shape \(10,\)"):
        built(name, rows)


def test_resnet_refuses_images_that_it_would_shrink_to_nothing() -> None:
    with pytest.raises(UserError, match=r"at least 32×32 pixels.*: use larger images, or model=mlp"):
        built("resnet18", images(3, 28))


def test_autoencoder_with_noise_on_its_initial_parameters() -> None:
    data = images(1, 28)
    data = replace(data, train=replace(data.train, targets=None), classes=None)
    plain, noisy = (
        torch.cat([p.detach().flatten() for p in built("autoencoder", data, noise=noise).parameters()])
        for noise in (0.0, 0.05)
    )
    apart = noisy - plain
    assert apart.numel() == 784 * 128 + 128 + 128 * 32 + 32 + 32 * 128 + 128 + 128 * 784 + 784
    assert float(apart.std()) == pytest.approx(0.05, rel=0.01)
    assert abs(float(apart.mean())) < 5 * 0.05 / apart.numel() ** 0.5
