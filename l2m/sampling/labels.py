"""Reads what users pass as labels, losses and shares: lists, arrays, Series and tensors of any number type."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from l2m.errors import UserError
from l2m.sampling.apportion import Ints

_OVERLAP = (
    "a sample must have one group; if groups overlap, number the frequent combinations of them, as "
    "numpy.unique(rows, axis=0, return_inverse=True)[1] does for rows of 0 and 1"
)


class Labels(NamedTuple):
    """The group of each sample, (N,) in the shortest unsigned type, and the samples of each group, (k,)."""

    groups: NDArray[Any]
    sizes: Ints


def read_labels(labels: ArrayLike | Tensor) -> Labels:
    """Labels of any whole type, or booleans.

    Raises:
        UserError: not one group a sample, a negative one, or a group without samples.
    """
    if isinstance(labels, Dataset):
        raise UserError(f"labels must be one group a sample, not a {type(labels).__name__}: give the list of groups")
    groups = as_array("labels", labels)
    groups = groups.astype(np.uint8) if groups.dtype == bool else groups
    if groups.ndim != 1 or not len(groups) or groups.dtype.kind not in "iu":
        remedy = "number the groups from 0, as numpy.unique(labels, return_inverse=True)[1] does"
        if groups.ndim > 1:
            remedy = "for one-hot rows use labels.argmax(1), for one column labels.flatten()"
        several = groups.ndim > 1 and (groups != 0).sum(-1).max(initial=0) > 1
        if several or any(isinstance(each, (dict, list, set)) for each in groups.flat[:1]):
            remedy = _OVERLAP
        raise UserError(
            f"labels must be a list of whole numbers, one group a sample, not {groups.dtype} of shape "
            f"{groups.shape}: {remedy}"
        )
    if groups.min() < 0:
        raise UserError(f"label {groups.min()} is negative: number the groups from 0, and missing labels too")
    top = min(len(groups), np.iinfo(groups.dtype).max)  # what is above both has no place in a short type
    sizes: Ints = np.bincount(np.minimum(groups, top).astype(np.int64))
    if not sizes.all():
        raise UserError(
            f"group {int(np.flatnonzero(sizes == 0)[0])} has no samples, but labels go up to {groups.max()}: "
            "number the groups without gaps, as numpy.unique(labels, return_inverse=True)[1] does"
        )
    return Labels(groups.astype(np.min_scalar_type(len(sizes) - 1)), sizes)  # short numbers sort faster


def as_array(name: str, values: ArrayLike | Tensor) -> NDArray[Any]:
    """A user's values as an array, from any device; a UserError if rows differ in length, or values are by name."""
    if isinstance(values, (dict, set)):
        raise UserError(
            f"{name} must be in a list or an array, not a {type(values).__name__}: give its numbers in order"
        )
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.double() if values.is_floating_point() else values).numpy()  # numpy has no bfloat16
    if isinstance(values, (list, tuple)):
        values = [as_array(name, each) if isinstance(each, Tensor) else each for each in values]
    try:
        return np.asarray(values)
    except ValueError:
        remedy = _OVERLAP if name == "labels" else "give one a sample"
        raise UserError(f"{name} must be one number each, not rows of several lengths: {remedy}") from None
