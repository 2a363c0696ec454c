"""Learn2Mix as scikit-learn estimators: a small network for tables that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pandas import isna
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import recall_score
from sklearn.utils import Tags, check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy, mse_loss

from l2m.data import Batch, Split
from l2m.data.validation import held_out
from l2m.errors import UserError
from l2m.models.mlp import network
from l2m.optimizers import adamw
from l2m.schema import Range, check_argument
from l2m.seeding import derive, generator, seed_defaults
from l2m.strategies import STRATEGIES, Context, Statistics, Strategy
from l2m.strategies.checks import drawn_checked, loss_checked, prepare_checked
from l2m.training.early_stopping import EarlyStopping

Floats = NDArray[np.floating[Any]]
PRECISIONS = np.float64, np.float32
"""A network is fitted in the precision of its table if it is one of these, else in the first."""


@dataclass(kw_only=True, eq=False, repr=False)
class _Estimator(BaseEstimator):  # type: ignore[misc]
    """The shared part of classifier and regressor: options, training, the network's outputs."""

    hidden_layer_sizes: tuple[Annotated[int, Range(1, 2**16)], ...] = (64,)
    epochs: Annotated[int, Range(1)] = 200
    batch_size: Annotated[int, Range(1)] = 64
    learning_rate: Annotated[float, Range(0, above=True)] = 1e-3
    weight_decay: Annotated[float, Range(0)] = 0.0
    strategy: str = "learn2mix"
    strategy_options: dict[str, Any] | None = None
    mixing_rate: Annotated[float, Range(0, 1)] = 0.1
    early_stopping: bool = False
    validation_fraction: Annotated[float, Range(0, 1, above=True, below=True)] = 0.1
    n_iter_no_change: Annotated[int, Range(1)] = 10
    random_state: int | np.random.RandomState | None = None

    task: ClassVar[str]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _options(self) -> dict[str, Any]:
        """All parameters except ``random_state`` and ``class_weight``, checked; ``strategy`` is built."""
        hints, given = get_type_hints(type(self), include_extras=True), self.get_params(deep=False)
        if isinstance(given["hidden_layer_sizes"], Integral):
            given["hidden_layer_sizes"] = (given["hidden_layer_sizes"],)
        remedy, unchecked = f"a parameter of {type(self).__name__}", ("random_state", "class_weight")
        options = {k: check_argument(k, v, hints[k], remedy) for k, v in given.items() if k not in unchecked}
        problems: list[str] = []
        given = {"mixing_rate": options["mixing_rate"]} if options["strategy"] == "learn2mix" else {}
        given |= {"name": options["strategy"], **(options["strategy_options"] or {})}
        choice = STRATEGIES.check(given, problems)
        if problems:
            raise UserError("\n".join(problems).replace("strategy.", "strategy_options: "))
        strategy: Strategy = STRATEGIES.build(choice)
        able = self.task in strategy.tasks
        if not able or strategy.every or type(strategy).needs is not Strategy.needs:
            why = "needs more than the batches of one training" if able else f"is not defined for {self.task}"
            raise UserError(f"strategy={self.strategy} {why}: use python -m l2m.run for it, or another strategy here")
        return options | {"strategy": strategy}

    def _train(self, X: Any, targets: Tensor, groups: ArrayLike, outputs: int, weights: ArrayLike | None) -> None:
        options = self._options()
        check_consistent_length(X, groups)
        if isna(np.asarray(groups, object)).any():
            raise UserError("a sample has no group: give those that have none a group of their own")
        if (kind := type_of_target(groups)) not in ("binary", "multiclass"):
            raise UserError(f"groups must be one label a sample, not {kind}: bin numbers first, as numpy.digitize does")
        weight = torch.from_numpy(_check_sample_weight(weights, X, dtype=np.float64, ensure_non_negative=True))
        kept = weight > 0
        self.groups_, numbered = np.unique(column_or_1d(groups)[kept.numpy()], return_inverse=True)
        seed, weight = int(check_random_state(self.random_state).randint(2**31)), weight[kept]
        targets, group = targets[kept], torch.from_numpy(numbered)
        whole, stopping, k = Split(_dense(X)[kept], targets, group), None, len(self.groups_)
        if options["early_stopping"]:
            both = torch.stack([targets, group], 1) if self.task == "classification" else group
            alike = both.unique(return_inverse=True, dim=0)[1]
            held = held_out(alike, options["validation_fraction"], generator(seed, "held out"))
            if not held.any():
                raise UserError("early_stopping=True has nothing to hold out of classes or groups of 1 sample: drop it")
            whole, aside = (whole.subset(torch.nonzero(part)[:, 0]) for part in (~held, held))
            stopping, weight = EarlyStopping(self.task, None, options["n_iter_no_change"]), weight[~held]
        with torch.random.fork_rng(devices=[]):
            seed_defaults(derive(seed, "parameters"), torch.device("cpu"))
            model = network(X.shape[1], options["hidden_layer_sizes"], outputs).to(whole.inputs.dtype)
        optimizer = adamw(model.parameters(), options["learning_rate"], weight_decay=options["weight_decay"])
        strategy: Strategy = options["strategy"]
        size = min(options["batch_size"], len(whole))
        classes, epochs = outputs if self.task == "classification" else None, options["epochs"]
        context = Context(whole, k, size, len(whole) // size, partial(generator, seed), classes=classes, epochs=epochs)
        split = prepare_checked(strategy, context)
        if split is not whole and (weight != weight[0]).any():
            raise UserError(f"strategy={self.strategy} makes a training set of its own, without weights: drop them")
        weight = (weight / weight.mean()).to(whole.inputs.dtype)

        self.loss_curve_: list[float] = []
        proportions = []
        for epoch in range(1, epochs + 1):
            proportions.append(strategy.proportions.numpy().copy())
            losses, drawn = [], []
            for plan in drawn_checked(strategy, epoch, context.steps, len(split)):
                for index in plan:
                    batch = split.batch(index)
                    losses.append(self._step(model, optimizer, strategy, batch, weight[index] if split is whole else 1))
                    drawn.append(batch.groups)
            self.loss_curve_.append(torch.stack(losses).mean().item())
            if not torch.stack(losses).isfinite().all():
                raise UserError(
                    f"the loss is {self.loss_curve_[-1]} in epoch {epoch} with learning_rate={self.learning_rate}: "
                    "standardise X, as StandardScaler in a pipeline does, or lower the rate"
                )
            strategy.end_epoch(Statistics.of(torch.stack(losses), torch.stack(drawn), k))
            if stopping:
                with torch.inference_mode():
                    stopping.add(self._held_out_score(model(aside.inputs), targets[held]), model)
                if stopping.is_over:
                    break
        if stopping:
            model.load_state_dict(stopping.parameters)
        self.validation_scores_ = stopping.values if stopping else None
        self.best_iter_ = stopping.best_epoch if stopping else None
        self.network_ = model.eval()
        self.n_iter_ = len(self.loss_curve_)
        self.proportions_curve_: NDArray[np.float64] = np.array(proportions)

    def _step(self, model: Module, optimizer: Any, strategy: Strategy, batch: Batch, weight: Tensor | int) -> Tensor:
        """One step; returns the weighted losses of the batch's samples (M,), detached."""
        outputs = model(batch.inputs)
        losses = self._losses(outputs, batch.targets) * weight
        adjusted = strategy.adjust(outputs, batch.targets)
        final = losses if adjusted is outputs else self._losses(adjusted, batch.targets) * weight
        optimizer.zero_grad()
        loss_checked(strategy, batch, final).backward()
        optimizer.step()
        if strategy.reads_steps:
            strategy.after_step(batch, losses.detach())
        return losses.detach()

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample (M,), from outputs (M, c) and targets (M,)."""
        raise NotImplementedError

    def _held_out_score(self, outputs: Tensor, targets: Tensor) -> float:
        """What early stopping goes by, from outputs (M, c) and targets (M,)."""
        return self._losses(outputs, targets).mean().item()

    @torch.inference_mode()
    def _outputs(self, X: ArrayLike) -> Tensor:
        check_is_fitted(self)
        table = validate_data(self, X, reset=False, dtype=PRECISIONS, accept_sparse="csr")
        precision = next(self.network_.parameters()).dtype
        outputs: Tensor = self.network_(_dense(table).to(precision))
        return outputs


def _dense(table: Any) -> Tensor:
    """The table (N, d), which may be sparse, as a tensor."""
    return torch.tensor(table.toarray() if issparse(table) else table)


@dataclass(kw_only=True, eq=False, repr=False)
class Learn2MixClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A fully connected classifier, trained with Adam on batches that follow the groups' cross entropy.

    Like scikit-learn's ``MLPClassifier``, it does not standardise: put a ``StandardScaler`` before it.

    Args:
        hidden_layer_sizes: units of each hidden layer, 1 to 65536.
        epochs: at least 1; each is ``floor(N / batch_size)`` steps.
        batch_size: samples a step, at least 1; all N if there are fewer.
        learning_rate: Adam's, above 0.
        weight_decay: AdamW's decoupled weight decay, at least 0.
        strategy: the name of a strategy of ``python -m l2m.run`` that needs no other run and no outer steps;
            ``stratified`` is ``classical`` with the option ``batches="stratified"``.
        strategy_options: its options by name; None leaves the defaults.
        mixing_rate: γ in [0, 1] of learn2mix; at 0 every batch has the groups' shares of the training set.
        early_stopping: hold out ``validation_fraction`` of each class, stop after ``n_iter_no_change`` epochs without
            a better balanced accuracy there, and keep the best epoch's network.
        class_weight: weights by class, ``"balanced"``, or None; they multiply ``sample_weight``.
        random_state: draws initial parameters, the order of samples and those held out.

    Attributes:
        classes_: (c,), in the order of ``predict_proba``.
        groups_: (k,) groups, in the order of ``proportions_curve_``: the classes, unless ``fit`` got others.
        n_iter_: epochs trained.
        best_iter_, validation_scores_: with early stopping the best epoch, from 1, and the held-out score of each, else
            None.
        loss_curve_: the mean loss of each epoch's batches.
        proportions_curve_: (epochs, k), the groups' shares of each epoch's batches.
        network_: the trained ``torch.nn.Sequential``.
        n_features_in_, feature_names_in_: as always in scikit-learn.
    """

    class_weight: dict[Any, float] | Literal["balanced"] | None = None

    task = "classification"

    def fit(
        self, X: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Learn2MixClassifier:
        """Train on a table X (N, d), which may be sparse and is made dense, with labels y (N,).

        Args:
            groups: (N,) the groups to mix by, of any sortable type; by default the labels. In ``GridSearchCV`` pass
                them through a pipeline, as in ``fit(X, y, <step>__groups=groups)``: a plain ``groups`` goes to the
                splitter.
            sample_weight: (N,) at least 0, what the samples' losses are multiplied by, scaled to a mean of 1; a sample
                of weight 0 is left out.

        Raises:
            ValueError: the table or an option is invalid, or the loss is not finite.
        """
        table, column = validate_data(self, X, y, dtype=PRECISIONS, accept_sparse="csr")
        check_classification_targets(column)
        labels = column_or_1d(column, warn=True)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if self.class_weight is not None:
            own = _check_sample_weight(sample_weight, table, dtype=np.float64, copy=True)
            own[own != 0] *= compute_sample_weight(self.class_weight, labels[own != 0])
            sample_weight = own
        groups = labels if groups is None else groups
        self._train(table, torch.from_numpy(targets), groups, len(self.classes_), sample_weight)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(N, c) probabilities of the classes."""
        return self._outputs(X).softmax(1).numpy()

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(N,) the most likely class."""
        indices = self._outputs(X).argmax(1).numpy()  # first, as it checks that there are classes
        labels: NDArray[Any] = self.classes_[indices]
        return labels

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets, reduction="none")

    def _held_out_score(self, outputs: Tensor, targets: Tensor) -> float:
        labels = np.unique(targets)
        return float(recall_score(targets, outputs.argmax(1), labels=labels, average="macro"))


@dataclass(kw_only=True, eq=False, repr=False)
class Learn2MixRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A fully connected regressor, trained with Adam on batches that follow the groups' squared error.

    Like scikit-learn's ``MLPRegressor``, it does not standardise: put a ``StandardScaler`` before it, and a
    ``TransformedTargetRegressor`` around it if the target is not of the order of 1.

    Args:
        bins: number of groups of equal size by ascending target, at least 1, if ``fit`` gets no groups; equal targets
            are in one group.

    Other options and attributes are those of :class:`Learn2MixClassifier`, without ``class_weight`` and ``classes_``;
    ``early_stopping`` goes by the mean squared error on a part of each group. ``groups_`` are by default the bins'.
    """

    bins: Annotated[int, Range(1)] = 4

    task = "regression"

    def fit(
        self, X: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Learn2MixRegressor:
        """Train on a table X (N, d), which may be sparse and is made dense, with targets y (N,).

        Args:
            groups, sample_weight: as for :meth:`Learn2MixClassifier.fit`; groups are by default bins of y.

        Raises:
            ValueError: the table or an option is invalid, or the loss is not finite.
        """
        table, values = validate_data(self, X, y, dtype=PRECISIONS, y_numeric=True, accept_sparse="csr")
        targets = column_or_1d(values, warn=True).astype(table.dtype)
        if groups is None:
            bins = self._options()["bins"]
            kept = _check_sample_weight(sample_weight, table) != 0
            groups = np.searchsorted(np.quantile(targets[kept], np.arange(1, bins) / bins), targets)
        self._train(table, torch.tensor(targets), groups, 1, sample_weight)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """(N,) targets."""
        return self._outputs(X).squeeze(1).numpy()

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mse_loss(outputs.squeeze(1), targets, reduction="none")
