"""Learn2Mix as scikit-learn estimators: a small network for tables that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy, mse_loss

from l2m.errors import UserError
from l2m.models.mlp import network
from l2m.optimizers import adam
from l2m.sampling.sampler import Learn2MixBatchSampler
from l2m.schema import Range, check_argument
from l2m.seeding import derive, generator
from l2m.strategies import Statistics

Floats = NDArray[np.floating[Any]]
PRECISIONS = np.float64, np.float32
"""A network is fitted in the precision of its table if it is one of these, else in the first."""


@dataclass(kw_only=True, eq=False, repr=False)
class _Estimator(BaseEstimator):  # type: ignore[misc]
    """The shared part of classifier and regressor: options, training, the network's outputs."""

    hidden: Annotated[int, Range(1, 2**16)] = 64
    epochs: Annotated[int, Range(1)] = 200
    batch_size: Annotated[int, Range(1)] = 64
    learning_rate: Annotated[float, Range(0, above=True)] = 1e-3
    mixing_rate: Annotated[float, Range(0, 1)] = 0.1
    random_state: int | np.random.RandomState | None = None

    def _options(self) -> dict[str, Any]:
        """All parameters except ``random_state``, checked."""
        hints = get_type_hints(type(self), include_extras=True)
        return {
            name: check_argument(name, value, hints[name], f"a parameter of {type(self).__name__}")
            for name, value in self.get_params(deep=False).items()
            if name != "random_state"
        }

    def _train(self, X: Floats, targets: Tensor, groups: ArrayLike, outputs: int) -> None:
        options = self._options()
        check_consistent_length(X, groups)
        if (kind := type_of_target(groups)) not in ("binary", "multiclass"):
            raise UserError(f"groups must be one label a sample, not {kind}: bin numbers first, as numpy.digitize does")
        self.groups_, numbered = np.unique(column_or_1d(groups), return_inverse=True)
        seed = int(check_random_state(self.random_state).randint(2**31))
        inputs, group = torch.tensor(X), torch.from_numpy(numbered)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "parameters"))
            model = network(X.shape[1], options["hidden"], outputs).to(inputs.dtype)
        optimizer = adam(model.parameters(), options["learning_rate"])
        sampler = Learn2MixBatchSampler(
            group,
            batch_size=min(options["batch_size"], len(X)),
            mixing_rate=options["mixing_rate"],
            generator=generator(seed, "order"),
            shuffle_within=False,
        )
        self.loss_curve_: list[float] = []
        proportions = []
        for epoch in range(1, options["epochs"] + 1):
            proportions.append(sampler.proportions.numpy())
            plan = sampler.plan()
            losses = torch.stack([self._step(model, optimizer, inputs[batch], targets[batch]) for batch in plan])
            self.loss_curve_.append(losses.mean().item())
            if not losses.isfinite().all():
                raise UserError(
                    f"the loss is {self.loss_curve_[-1]} in epoch {epoch} with learning_rate={self.learning_rate}: "
                    "standardise X, as StandardScaler in a pipeline does, or lower the rate"
                )
            statistics = Statistics.of(losses, group[plan], len(self.groups_))
            sampler.update(statistics.loss, seen=statistics.count > 0)
        self.network_ = model.eval()
        self.n_iter_ = len(self.loss_curve_)
        self.proportions_curve_: NDArray[np.float64] = np.array(proportions)

    def _step(self, model: Module, optimizer: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        """One step; returns the losses of the batch's samples (M,), detached."""
        losses = self._losses(model(inputs), targets)
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        return losses.detach()

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample (M,), from outputs (M, c) and targets (M,)."""
        raise NotImplementedError

    @torch.inference_mode()
    def _outputs(self, X: ArrayLike) -> Tensor:
        check_is_fitted(self)
        table = validate_data(self, X, reset=False, dtype=PRECISIONS)
        precision = next(self.network_.parameters()).dtype
        outputs: Tensor = self.network_(torch.tensor(table, dtype=precision))
        return outputs


@dataclass(kw_only=True, eq=False, repr=False)
class Learn2MixClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier of one hidden layer, trained with Adam on batches that follow the groups' cross entropy.

    Like scikit-learn's ``MLPClassifier``, it does not standardise: put a ``StandardScaler`` before it.

    Args:
        hidden: units of the hidden layer, 1 to 65536.
        epochs: at least 1; each is ``floor(N / batch_size)`` steps.
        batch_size: samples a step, at least 1; all N if there are fewer.
        learning_rate: Adam's, above 0.
        mixing_rate: γ in [0, 1]; at 0 every batch has the groups' shares of the training set.
        random_state: draws initial parameters and the order of samples.

    Attributes:
        classes_: (c,), in the order of ``predict_proba``.
        groups_: (k,) groups, in the order of ``proportions_curve_``: the classes, unless ``fit`` got others.
        n_iter_: epochs trained.
        loss_curve_: the mean loss of each epoch's batches.
        proportions_curve_: (epochs, k), the groups' shares of each epoch's batches.
        network_: the trained ``torch.nn.Sequential``.
        n_features_in_, feature_names_in_: as always in scikit-learn.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Learn2MixClassifier:
        """Train on a table X (N, d) with labels y (N,).

        Args:
            groups: (N,) the groups to mix by, of any sortable type; by default the labels. In ``GridSearchCV`` pass
                them through a pipeline, as in ``fit(X, y, <step>__groups=groups)``: a plain ``groups`` goes to the
                splitter.

        Raises:
            ValueError: the table or an option is invalid, or the loss is not finite.
        """
        table, column = validate_data(self, X, y, dtype=PRECISIONS)
        check_classification_targets(column)
        labels = column_or_1d(column, warn=True)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        self._train(table, torch.from_numpy(targets), labels if groups is None else groups, len(self.classes_))
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(N, c) probabilities of the classes."""
        probabilities: Floats = self._outputs(X).softmax(1).numpy()
        return probabilities

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(N,) the most likely class."""
        indices = self._outputs(X).argmax(1).numpy()
        labels: NDArray[Any] = self.classes_[indices]
        return labels

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets, reduction="none")


@dataclass(kw_only=True, eq=False, repr=False)
class Learn2MixRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor of one hidden layer, trained with Adam on batches that follow the groups' squared error.

    Like scikit-learn's ``MLPRegressor``, it does not standardise: put a ``StandardScaler`` before it, and a
    ``TransformedTargetRegressor`` around it if the target is not of the order of 1.

    Args:
        bins: number of groups of equal size by ascending target, at least 1, if ``fit`` gets no groups; equal targets
            are in one group.

    The other options and the attributes are those of :class:`Learn2MixClassifier`, except ``classes_``; ``groups_``
    are the numbers of the bins, from 0, unless ``fit`` got groups.
    """

    bins: Annotated[int, Range(1)] = 4

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Learn2MixRegressor:
        """Train on a table X (N, d) with targets y (N,).

        Args:
            groups: as for :meth:`Learn2MixClassifier.fit`; by default bins of y.

        Raises:
            ValueError: the table or an option is invalid, or the loss is not finite.
        """
        table, values = validate_data(self, X, y, dtype=PRECISIONS, y_numeric=True)
        targets = column_or_1d(values, warn=True).astype(table.dtype)
        if groups is None:
            bins = self._options()["bins"]
            groups = np.searchsorted(np.quantile(targets, np.arange(1, bins) / bins), targets)
        self._train(table, torch.tensor(targets), groups, 1)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """(N,) targets."""
        predicted: Floats = self._outputs(X).squeeze(1).numpy()
        return predicted

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mse_loss(outputs.squeeze(1), targets, reduction="none")
