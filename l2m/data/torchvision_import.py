"""``torchvision``, imported here and nowhere else, and only when it is asked for: it takes a second or more.

torchvision's wheel for Linux is built against CUDA: beside a CPU build of torch its compiled operators cannot
load, and ``import torchvision`` stops at «operator torchvision::nms does not exist». Data sets, transforms and
models need none of them. When, and only when, the plain import fails in that way, the two operators that
torchvision's Python code refers to as it is imported are declared without a body, and it is imported again.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import torch


def __getattr__(name: str) -> Any:
    if name == "torchvision":
        return _imported()[0]
    raise AttributeError(f"module {__name__} has no attribute {name}")


@cache
def _imported() -> tuple[Any, torch.library.Library | None]:
    """torchvision, and the declarations, which live as long as this object."""
    operators = None
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        operators = torch.library.Library("torchvision", "DEF")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

    import torchvision.datasets

    return torchvision, operators
