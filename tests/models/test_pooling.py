"""A convolution and max pooling in one: the numbers and slopes of torch's two, whoever asks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from l2m.models.pooling import convolved_and_pooled

LAST, FIRST = torch.channels_last, torch.contiguous_format


def torchs(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.max_pool2d(functional.conv2d(images, weight, bias), 2)


Shape = tuple[int, int, int, int]


def drawn(shape: Shape, filters: int, size: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Images in channels-last memory, kernels and biases."""
    draw = torch.Generator().manual_seed(0)
    shapes = (shape, (filters, shape[1], size, size), (filters,))
    images, *parameters = (torch.randn(each, generator=draw, dtype=torch.float64).to(dtype) for each in shapes)
    return [images.contiguous(memory_format=LAST), *parameters]


def slopes(function: Callable[..., Tensor], given: list[Tensor], by: Tensor) -> tuple[Tensor, ...]:
    """Of the outputs, after a ReLU in place as in the network."""
    leaves = [each.detach().requires_grad_() for each in given]
    return torch.autograd.grad(torch.relu_(function(*leaves)), leaves, by)


@pytest.mark.parametrize("order", [LAST, FIRST])
@pytest.mark.parametrize(
    ("shape", "filters", "size"),
    [((5, 1, 28, 28), 6, 5), ((3, 3, 12, 16), 6, 5), ((2, 1, 9, 8), 1, 3), ((4, 2, 6, 7), 3, 4), ((0, 1, 8, 8), 6, 5)],
)
def test_numbers_and_slopes_are_those_of_two_layers(
    shape: Shape, filters: int, size: int, order: torch.memory_format
) -> None:
    given = drawn(shape, filters, size)
    given[0] = given[0].contiguous(memory_format=order)
    expected = torchs(*given)
    torch.testing.assert_close(convolved_and_pooled(*given), expected)
    by = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for own, theirs in zip(slopes(convolved_and_pooled, given, by), slopes(torchs, given, by), strict=True):
        torch.testing.assert_close(own, theirs)


@pytest.mark.parametrize("order", [LAST, FIRST])
def test_in_fp32_they_are_so_within_rounding(order: torch.memory_format) -> None:
    given = drawn((50, 1, 28, 28), 6, 5, torch.float32)
    given[0] = given[0].contiguous(memory_format=order)
    torch.testing.assert_close(convolved_and_pooled(*given), torchs(*given), rtol=1e-5, atol=1e-5)
    by = torch.randn(50, 6, 12, 12, generator=torch.Generator().manual_seed(1))
    exact = slopes(torchs, [each.double() for each in given], by.double())
    for own, true in zip(slopes(convolved_and_pooled, given, by), exact, strict=True):
        torch.testing.assert_close(own, true.float(), rtol=1e-4, atol=1e-4)


def test_in_bf16_they_are_as_exact_as_torchs() -> None:
    given = drawn((50, 1, 28, 28), 6, 5, torch.float32)
    by = torch.randn(50, 6, 12, 12, generator=torch.Generator().manual_seed(1))
    exact = slopes(torchs, given, by)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = convolved_and_pooled(*given)
        assert outputs.dtype == torch.bfloat16
        own = slopes(convolved_and_pooled, given, by.bfloat16())
        theirs = slopes(torchs, given, by.bfloat16())
    torch.testing.assert_close(outputs.float(), torchs(*given), rtol=0.02, atol=0.1)
    for which in (1, 2):  # of kernels and biases, in fp32 as these are
        assert own[which].dtype == torch.float32
        off, bound = ((found[which] - exact[which]).norm() / exact[which].norm() for found in (own, theirs))
        assert off < 1.2 * bound < 0.1


def test_of_equal_pixels_one_has_the_slope() -> None:
    """Nothing but background gives equal ones, and their slopes would come to a multiple."""
    given = [torch.zeros(1, 1, 6, 6), torch.ones(2, 1, 3, 3), torch.tensor([0.5, 0.25])]
    for which, expected in ((2, [12.0, 12.0]), (1, [0.0] * 18)):
        found = slopes(convolved_and_pooled, given, torch.full((1, 2, 2, 2), 3.0))[which]
        assert found.flatten().tolist() == expected


def test_what_is_not_finite_stays_so() -> None:
    images, weight, bias = drawn((1, 1, 6, 6), 1, 3)
    images[0, 0, 0, 0] = torch.nan
    assert convolved_and_pooled(images, weight, bias).isnan().flatten().tolist() == [True, False, False, False]


def test_it_can_be_differentiated_twice_and_forwards() -> None:
    given = tuple(each.requires_grad_() for each in drawn((2, 2, 6, 7), 3, 3))
    assert torch.autograd.gradcheck(convolved_and_pooled, given, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(convolved_and_pooled, given)
    images, weight, bias = drawn((2, 2, 6, 7), 3, 3)
    of_kernels = lambda weight: convolved_and_pooled(images, weight, bias)  # noqa: E731
    assert torch.autograd.gradgradcheck(of_kernels, weight.requires_grad_())
