"""``torchvision``, imported only here and only when it is used: the import takes a second or more.

torchvision's wheel for Linux is built against CUDA: with a CPU build of torch its compiled operators cannot load, and
``import torchvision`` fails with «operator torchvision::nms does not exist». Data sets, transforms and models do not
need them. Only if the plain import fails in this way, the two operators that torchvision's Python code refers to during
its import are declared without a body, and the import is repeated.
"""

import sys
from typing import Any

import torch

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
"""Operators stay declared as long as this object exists."""


def __getattr__(name: str) -> Any:
    if name != "torchvision":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

    import torchvision.datasets

    return torchvision
