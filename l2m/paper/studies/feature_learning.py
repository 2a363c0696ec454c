"""Which features standard training, mixup and early-stopped mixup learn, on the synthetic patches of Definition 3.1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch

from l2m.errors import UserError
from l2m.paper.studies import STUDIES, Claim, Finding, Setting, Study, Tables
from l2m.paper.studies.feature_figures import AXES, METHODS, growth_figure, sizes_figure
from l2m.paper.studies.feature_patches import Definition, accuracy, descend, measures, span
from l2m.report.statistics import half_width
from l2m.schema import Range
from l2m.seeding import generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Positive = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
Mixing = Annotated[float, Range(0.5, 1, below=True)]
Size = Annotated[int, Range(1)]


UNTOUCHED: dict[str, tuple[str, ...]] = {"standard": ("mixing", "stop_at"), "mixup": ("stop_at",), "stopped": ()}
"""Options that change nothing in a method."""


@STUDIES.register("feature_learning")
@dataclass(kw_only=True)
class FeatureLearning(Study):
    """Full-batch gradient descent on the talk's two-layer network, with and without mixup.

    The source gives the distribution, the model, the measure Σ_r ⟨w_{1,r}, v⟩² and the three methods, but no sizes,
    step or scale of the start, and its curves are not in its text. The claims are those of the text beside the figure
    and, for standard training, of the summary of Zou et al. (2023), which it cites.

    Choices where the source is silent: mixup has one constant λ, and its loss is the mean over all n² ordered pairs, so
    that it is full-batch too. After the stop, training is standard. ``stop_at`` stands for the figure's 10 000, which
    means nothing without its step. :class:`~l2m.paper.studies.feature_patches.Definition` says how samples are drawn.
    The sizes put the noise between the features: from a small start ⟨w, v⟩ grows in proportion to n(1 − ρ)/2, ⟨w, v'⟩
    to nρ/2 and ⟨w, ξ_i⟩ to ‖ξ_i‖² ≈ σ_p² d, here 90, 10 and 14. They and the step were tried on seed 0, which is not
    among the ``seeds``. At one seed all methods have the same data and initial weights. Descent is in float32.

    Rules, fixed before the ``seeds`` were run. A feature has strength Σ_r ⟨w_{1,r}, feature⟩², which it adds to the
    logit of its class. A quantity is *above* another if the 95 % t-interval over seeds of the mean difference of their
    logarithms (of accuracies: of the difference itself) lies above 0, all at the last iteration. A feature is *learned*
    if its strength is above 1: alone it makes odds of e.

    - A method learns the common feature: *reproduced* if learned, *direction only* if above its strength at the start.
    - Standard training fails to learn the rare feature: *reproduced* if 1 is above its strength, *direction only* if
      the common feature's strength is.
    - Mixup, stopped early or not, learns the rare feature: *reproduced* if learned and above its strength in standard
      training, *direction only* if only the latter.
    - Rare test data: *reproduced* if mixup's accuracy on them is above that of standard training.
    - Stopping helps a feature: *reproduced* if its strength with early-stopped mixup is above that with mixup.
    - Too early a stop: *reproduced* if the rare feature's strength after ``stop_at`` is above that after the first
      of ``stops``.
    - Too late a stop: *reproduced* if accuracy on rare test data after ``stop_at`` is above that after the last of
      ``stops``.
    - Other sizes: *reproduced* if the rare feature's strength with mixup is above that with standard training at the
      defaults and in every variation but those of the stop, *direction only* if in more than half of them.

    Attributes:
        seeds: data and initial weights are drawn for each.
        samples: n.
        dimension: d, at least 5.
        patches: P.
        rare_share: ρ.
        borrowed: b, the most patches of a sample with feature noise; below P.
        feature_noise: α.
        noise: σ_p.
        width: m.
        start: σ_0, the deviation of initial weights.
        learning_rate: of gradient descent.
        mixing: λ, the larger share of a mixed pair; 0.5 mixes both evenly.
        iterations: in all.
        stop_at: when early-stopped mixup becomes standard training; below ``iterations``.
        points: of a curve, evenly spaced on a logarithmic axis from iteration 1; iteration 0 and the stop are added.
        test_samples: with common features, and as many with rare ones.
        rare_shares, noises, widths, mixings, stops: other values, each tried with everything else at its default.
    """

    title: ClassVar[str] = "Common and rare features"
    question: ClassVar[str] = (
        "The talk cites Zou et al. (2023): standard training learns features that many samples share and fails to "
        "learn rare ones, mixup learns both, and stopping mixup early helps. Its Definition 3.1 draws samples of "
        "patches, one of which holds a common or a rare feature. A two-layer network with quadratic activations learns "
        "them by full-batch gradient descent. We follow the strength of both features, which counts as learned above "
        "1, test on data with rare features alone, and vary what the source does not give."
    )

    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    samples: Size = 200
    dimension: Annotated[int, Range(5)] = 1000
    patches: Size = 4
    rare_share: Share = 0.1
    borrowed: Annotated[int, Range(0)] = 2
    feature_noise: Annotated[float, Range(0)] = 0.2
    noise: Positive = 0.12
    width: Size = 10
    start: Positive = 0.01
    learning_rate: Positive = 1.0
    mixing: Mixing = 0.6
    iterations: Annotated[int, Range(2)] = 1500
    stop_at: Size = 500
    points: Annotated[int, Range(2)] = 60
    test_samples: Size = 500
    rare_shares: tuple[Share, ...] = (0.05, 0.2)
    noises: tuple[Positive, ...] = (0.08, 0.16)
    widths: tuple[Size, ...] = (3, 30)
    mixings: tuple[Mixing, ...] = (0.5, 0.8)
    stops: tuple[Size, ...] = (50, 150, 1000)

    def run(self, setting: Setting) -> dict[str, pd.DataFrame]:
        """Tables ``growth`` (the defaults, by iteration) and ``ends`` (the last iteration of every setting).

        ``varied`` is the option that differs from the default, and ``value`` its value, or "default" and 0. Both have
        :func:`~l2m.paper.studies.feature_patches.measures`, ``ends`` also accuracies in [0, 1] on test data with a
        common and with a rare feature.

        Raises:
            UserError: a stop at or after the last iteration, or as many patches of feature noise as patches.
        """
        for stop in (self.stop_at, *self.stops):
            if stop >= self.iterations:
                raise UserError(f"a stop at iteration {stop} must lie below study.iterations={self.iterations}")
        if self.borrowed >= self.patches:
            raise UserError(f"study.borrowed={self.borrowed} must be below study.patches={self.patches}")
        growth, ends = [], []
        defaults: dict[tuple[int, str], list[dict[str, Any]]] = {}
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the matrices are small
        try:
            for varied, value, study in self._variations():
                for seed, method in product(self.seeds, METHODS):
                    if varied in UNTOUCHED[method]:
                        rows = defaults[seed, method]
                    else:
                        setting.tell(f"{varied} {value:g}, seed {seed}, {METHODS[method].words}")
                        rows = list(study._descent(seed, method))
                    if varied == "default":
                        defaults[seed, method] = rows
                        growth += rows
                    ends.append({"varied": varied, "value": value} | rows[-1])
        finally:
            torch.set_num_threads(threads)
        accuracies = ["accuracy_common", "accuracy_rare"]
        return {"growth": pd.DataFrame(growth).drop(columns=accuracies), "ends": pd.DataFrame(ends)}

    def _variations(self) -> Iterator[tuple[str, float, FeatureLearning]]:
        """The defaults, then one option at another value at a time."""
        yield "default", 0, self
        others = self.rare_shares, self.noises, self.widths, self.mixings, self.stops
        for option, values in zip(AXES, others, strict=True):
            for value in values:
                change: Any = {option: value}
                yield option, value, replace(self, **change)

    def _descent(self, seed: int, method: str) -> Iterator[dict[str, Any]]:
        """Rows of one method at one seed, the last one with accuracies."""
        definition = Definition(
            self.dimension, self.patches, self.rare_share, self.borrowed, self.feature_noise, self.noise
        )
        drawn = definition.draw(self.samples, generator(seed, "data"))
        shape = 2, self.width, self.dimension
        first = self.start * torch.randn(shape, generator=generator(seed, "parameters"), dtype=torch.float64)
        basis = span(drawn)
        data = replace(drawn, inputs=(drawn.inputs @ basis).float(), positive=drawn.positive.float())
        weights = (first @ basis).float()
        stop = {"standard": 0, "mixup": self.iterations, "stopped": self.stop_at}[method]
        grid = {round(float(step)) for step in np.geomspace(1, self.iterations, self.points)}
        for before, now in pairwise([0, *sorted(grid | {0, self.stop_at})]):
            weights = descend(weights, data, self.mixing if before < stop else 1, self.learning_rate, now - before)
            row: dict[str, Any] = {"seed": seed, "method": method, "iteration": now} | measures(weights, data)
            if now == self.iterations:
                whole = first + (weights.double() - first @ basis) @ basis.T
                for name, share in (("common", 0.0), ("rare", 1.0)):
                    test = replace(definition, rare_share=share).draw(
                        self.test_samples, generator(seed, f"test {name}")
                    )
                    row[f"accuracy_{name}"] = accuracy(whole, test)
            yield row

    def claims(self, tables: Tables) -> list[Claim]:
        """What the tables say, by the rules of the class."""
        ends = tables["ends"]
        ends = ends.assign(common=np.log(ends["common"]), rare=np.log(ends["rare"]))  # strengths on the log scale
        default = ends[ends["varied"] == "default"]
        at_start = tables["growth"].query("iteration == 0")

        def end(method: str, column: str, rows: pd.DataFrame = default) -> pd.Series[float]:
            return rows[rows["method"] == method].set_index("seed")[column]

        def after(stop: int, column: str) -> pd.Series[float]:
            rows = default if stop == self.stop_at else ends[(ends["varied"] == "stop_at") & (ends["value"] == stop)]
            return end("stopped", column, rows)

        claims = []
        for method in ("standard", "mixup"):
            strong = end(method, "common")
            grew = strong - np.log(end(method, "common", at_start))
            text = f"{METHODS[method].words.capitalize()} learns the common feature (Figure 2a)"
            claims.append(_claim(f"{method}_common", text, f"strength {_geometric(strong)}", [strong], [grew]))
        weak = end("standard", "rare")
        less = end("standard", "common") - weak
        text = "Standard training fails to learn the rare feature (Figure 2b)"
        said = f"strength {_geometric(weak)}; the common one's is {_geometric(less)} times that"
        claims.append(_claim("standard_rare", text, said, [-weak], [less]))
        for method in ("mixup", "stopped"):
            strong = end(method, "rare")
            more = strong - weak
            text = f"{METHODS[method].words.capitalize()} learns the rare feature (Figure 2b)"
            said = f"strength {_geometric(strong)}, {_geometric(more)} times that in standard training"
            claims.append(_claim(f"{method}_rare", text, said, [strong, more], [more]))
        gain = end("mixup", "accuracy_rare") - end("standard", "accuracy_rare")
        text = "Mixup classifies data with rare features better than standard training does"
        claims.append(_claim("rare_test", text, _points(gain), [gain]))
        for feature in ("common", "rare"):
            more = end("stopped", feature) - end("mixup", feature)
            text = f"Stopping mixup early makes the {feature} feature stronger than mixup throughout"
            claims.append(
                _claim(f"stopping_{feature}", text, f"{_geometric(more)} times its strength with mixup", [more])
            )
        if self.stops:
            first, last = self.stops[0], self.stops[-1]
            more = after(self.stop_at, "rare") - after(first, "rare")
            text = f"A stop at {first} instead of {self.stop_at} is too early for the rare feature"
            said = f"strength {_geometric(after(first, 'rare'))}, after the later stop {_geometric(more)} times that"
            claims.append(_claim("too_early", text, said, [more]))
            gain = after(self.stop_at, "accuracy_rare") - after(last, "accuracy_rare")
            text = f"A stop at {last} instead of {self.stop_at} is too late: accuracy on rare features falls"
            claims.append(_claim("too_late", text, f"{_points(gain)} for the earlier stop", [gain]))
        rest = []
        settings = [setting for setting in ends.groupby(["varied", "value"]) if setting[0][0] != "stop_at"]
        for (varied, value), rows in settings:
            if not _interval(end("mixup", "rare", rows) - end("standard", "rare", rows))[0] > 0:
                rest.append(f"{varied} {value:g}")
        verdict: Finding = "not reproduced"
        if len(gain) < 2:
            verdict = "too few seeds"
        elif len(rest) < len(settings) / 2:
            verdict = "direction only" if rest else "reproduced"
        text = "At other sizes too, the rare feature is stronger with mixup than with standard training"
        said = f"in {len(settings) - len(rest)} of {len(settings)} settings"
        note = f"not at {', '.join(rest)}" if rest and verdict != "too few seeds" else ""
        claims.append(Claim("other_sizes", text, "no numbers", said, verdict, note))
        return claims

    def figures(self, tables: Tables) -> dict[str, Figure]:
        """``growth``, as in the talk's figure, and ``sizes``, the rare feature's strength in all variations."""
        defaults = {name: float(getattr(self, name)) for name in AXES}
        return {
            "growth": growth_figure(tables["growth"], self.stop_at),
            "sizes": sizes_figure(tables["ends"], defaults, self.iterations),
        }


def _interval(values: pd.Series[float]) -> tuple[float, float]:
    """The 95 % t-interval of the mean; NaN for one value."""
    width = half_width(values)
    return float(values.mean()) - width, float(values.mean()) + width


def _claim(
    key: str, text: str, ours: str, whole: Sequence[pd.Series[float]], direction: Sequence[pd.Series[float]] = ()
) -> Claim:
    """Reproduced where the intervals of ``whole`` lie above 0, direction only where those of ``direction`` do."""
    n = len(whole[0])
    verdict: Finding = "not reproduced"
    if n < 2:
        return Claim(key, text, "no numbers", f"{ours} (n = {n})", "too few seeds")
    if all(_interval(values)[0] > 0 for values in whole):
        verdict = "reproduced"
    elif direction and all(_interval(values)[0] > 0 for values in direction):
        verdict = "direction only"
    worse = any(_interval(values)[1] < 0 for values in whole)
    note = "the interval lies on the other side" if worse else "the interval leaves both open"
    return Claim(key, text, "no numbers", f"{ours} (n = {n})", verdict, "" if verdict == "reproduced" else note)


def _geometric(logarithms: pd.Series[float]) -> str:
    """The geometric mean and its 95 % t-interval: ``4.12 [3.71, 4.58]``."""
    low, high = _interval(logarithms)
    return f"{math.exp(logarithms.mean()):.3g} [{math.exp(low):.3g}, {math.exp(high):.3g}]"


def _points(differences: pd.Series[float]) -> str:
    """``+12.3 ± 4.5 points``: a difference of accuracies in %, and half of its 95 % t-interval."""
    low, high = _interval(100 * differences)
    return f"{(low + high) / 2:+.1f} ± {(high - low) / 2:.1f} points"
