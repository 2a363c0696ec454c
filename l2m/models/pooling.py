"""A convolution and 2×2 max pooling in one, for layers of few channels on a CPU.

There torch works a pixel at a time, and a pixel of six channels does not fill a vector register. Here one convolution
of stride 2 computes the four pixels of each square in four planes, with a kernel larger by a pixel that holds the
original at each of its four places. Pooling is then the maximum of the planes, vectorised over whole images.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad
from torch.nn import functional, grad

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of each pixel of a square."""


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
        return _reference(images, weight, bias)
    if any(forward_ad.unpack_dual(each).tangent is not None for each in (images, weight, bias)):
        return _reference(images, weight, bias)
    if torch.is_autocast_enabled("cpu"):
        images, weight, bias = (each.to(torch.get_autocast_dtype("cpu")) for each in (images, weight, bias))
    pooled: Tensor = _Pooled.apply(images, weight, bias)
    return pooled


def _reference(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.max_pool2d(functional.conv2d(images, weight, bias), 2)


class _Pooled(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        order = torch.contiguous_format
        planes = functional.conv2d(_ordered(images, order), _ordered(_wide(weight), order), bias.repeat(4), stride=2)
        above, right_above, below, right_below = planes.unflatten(1, (4, -1)).unbind(1)
        if any(ctx.needs_input_grad):
            kept = [_greater(right_above, above), _greater(right_below, below)]
        torch.maximum(above, right_above, out=above)
        torch.maximum(below, right_below, out=below)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(images, weight, bias, *kept, _greater(below, above))
        return torch.maximum(above, below).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, bias, is_right_above, is_right_below, is_below = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        if torch.is_grad_enabled():  # for a second derivative
            inputs = [each for each, want in zip((images, weight, bias), wanted, strict=True) if want]
            slopes_of = iter(torch.autograd.grad(_reference(images, weight, bias), inputs, slopes, create_graph=True))
            return tuple(next(slopes_of) if want else None for want in wanted)
        n, filters, height, width = slopes.shape
        planes = slopes.new_empty((n, 4 * filters, height, width))
        above, right_above, below, right_below = planes.unflatten(1, (4, -1)).unbind(1)
        slopes = slopes.contiguous()
        torch.sub(slopes, torch.mul(slopes, is_below, out=below), out=above)
        above -= torch.mul(above, is_right_above, out=right_above)
        below -= torch.mul(below, is_right_below, out=right_below)
        order = torch.channels_last if slopes.dtype == torch.bfloat16 else torch.contiguous_format  # the faster
        images, planes = _ordered(images, order), _ordered(planes, order)
        channels, size = weight.shape[1:3]
        shape = (4 * filters, channels, size + 1, size + 1)  # of the wide kernels
        of_wide = grad.conv2d_weight(images, shape, planes, stride=2).unflatten(0, (4, -1))
        of_weight = sum(part[..., i : i + size, j : j + size] for part, (i, j) in zip(of_wide, PLACES, strict=True))
        of_images = grad.conv2d_input(images.shape, _wide(weight), planes, stride=2) if wanted[0] else None
        return of_images, of_weight, slopes.sum((0, 2, 3))


def _wide(weight: Tensor) -> Tensor:
    """Kernels (4D, C, K + 1, K + 1): ``weight`` (D, C, K, K) at each place, padded with zeros."""
    return torch.cat([functional.pad(weight, (j, 1 - j, i, 1 - i)) for i, j in PLACES])


def _greater(first: Tensor, second: Tensor) -> Tensor:
    """1 where ``first`` is greater, else 0; as floats, which multiply faster than booleans."""
    return torch.gt(first, second, out=torch.empty(first.shape, dtype=first.dtype))


def _ordered(images: Tensor, order: torch.memory_format) -> Tensor:
    """In a memory format; with one channel, where any strides fit, with those by which torch recognises it."""
    strides = torch.empty(images.shape, device="meta", memory_format=order).stride()
    return images.contiguous(memory_format=order).as_strided(images.shape, strides)
