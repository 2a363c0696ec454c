"""A convolution and 2×2 max pooling in one, for layers of few channels on a CPU.

There torch convolves and pools a pixel at a time, and a pixel of six channels fills no vector. Here the four pixels of
each square come from one convolution of stride 2, with the kernel at each of its four places in one larger by a pixel,
and lie in four planes: the pooled are the planes' largest, of whole images side by side.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad
from torch.nn import functional, grad

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Rows and columns of the pixels of a square."""


def convolved_and_pooled(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``max_pool2d(conv2d(images, weight, bias), 2)``, within rounding.

    Args:
        images: (M, C, H, W).
        weight: (D, C, K, K).
        bias: (D,).

    Returns:
        (M, D, ⌊(H − K + 1) / 2⌋, ⌊(W − K + 1) / 2⌋), in channels-last memory.
    """
    if torch.compiler.is_compiling() or images.device.type != "cpu" or not len(images):
        return _plainly(images, weight, bias)
    if any(forward_ad.unpack_dual(each).tangent is not None for each in (images, weight, bias)):
        return _plainly(images, weight, bias)
    if torch.is_autocast_enabled("cpu"):
        images, weight, bias = (each.to(torch.get_autocast_dtype("cpu")) for each in (images, weight, bias))
    pooled: Tensor = _Pooled.apply(images, weight, bias)
    return pooled


def _plainly(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.max_pool2d(functional.conv2d(images, weight, bias), 2)


class _Pooled(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        first = torch.contiguous_format
        planes = functional.conv2d(_ordered(images, first), _ordered(_wide(weight), first), bias.repeat(4), stride=2)
        a, b, c, d = planes.unflatten(1, (4, -1)).unbind(1)
        above, below = torch.maximum(a, b), torch.maximum(c, d)
        pooled = torch.maximum(above, below)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(images, weight, bias, _at_least(a, b), _at_least(c, d), _at_least(above, below))
        return pooled.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, bias, a_is, c_is, above_is = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        if torch.is_grad_enabled():  # to be differentiated again
            given = [each for each, want in zip((images, weight, bias), wanted, strict=True) if want]
            found = iter(torch.autograd.grad(_plainly(images, weight, bias), given, slopes, create_graph=True))
            return tuple(next(found) if want else None for want in wanted)
        shared = slopes.contiguous()
        planes = shared.new_empty((len(shared), 4, *shared.shape[1:]))
        for part, is_first, (first, second) in zip(
            _shared(shared, above_is), (a_is, c_is), (planes[:, :2].unbind(1), planes[:, 2:].unbind(1)), strict=True
        ):
            torch.mul(part, is_first, out=first)
            torch.sub(part, first, out=second)
        wide = _wide(weight)
        order = torch.channels_last if slopes.dtype == torch.bfloat16 else torch.contiguous_format  # the faster
        images, planes = _ordered(images, order), _ordered(planes.flatten(1, 2), order)
        of_wide = grad.conv2d_weight(images, wide.shape, planes, stride=2).unflatten(0, (4, -1))
        size = weight.shape[2]
        of_weight = sum(part[..., i : i + size, j : j + size] for part, (i, j) in zip(of_wide, PLACES, strict=True))
        of_images = grad.conv2d_input(images.shape, wide, planes, stride=2) if wanted[0] else None
        return of_images, of_weight, slopes.sum((0, 2, 3))


def _wide(weight: Tensor) -> Tensor:
    """Kernels (4D, C, K + 1, K + 1): ``weight`` (D, C, K, K) at each place, zeros about it."""
    return torch.cat([functional.pad(weight, (j, 1 - j, i, 1 - i)) for i, j in PLACES])


def _at_least(first: Tensor, second: Tensor) -> Tensor:
    """1 where ``first`` is no less, else 0; as numbers, which are multiplied faster than truth values."""
    return torch.ge(first, second, out=torch.empty_like(first))


def _shared(slopes: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes where they are the first's, and where they are the second's; 0 elsewhere."""
    first = slopes * is_first
    return first, slopes - first


def _ordered(images: Tensor, order: torch.memory_format) -> Tensor:
    """In a memory format; of one channel, where any strides would do, with the strides that torch tells it by."""
    strides = torch.empty(images.shape, device="meta", memory_format=order).stride()
    return images.contiguous(memory_format=order).as_strided(images.shape, strides)
