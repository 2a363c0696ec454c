"""Proposition 2.3 by numbers: θ → θ* and α → L(θ*) / 1ᵀL(θ*), where it is proved, at its edges and beyond it.

Group losses are random quadratics. The proof assumes one θ* that minimises every group loss, with L_i(θ*) > 0
(``agree``). It does not cover two cases. Groups that ``disagree`` have minimisers of their own; training then settles
at the minimiser of Σ L_i² (:mod:`l2m.paper.studies.fixed_point`). Losses that ``vanish`` together at θ* make the limit
of eq. 5 the quotient 0/0. The strategy then leaves α unchanged, since no group has anything left to learn.

Rules, fixed before the runs. A training has converged once ‖θ − θ*‖ has shrunk by 1e-8 and α is within 1e-6 of its
limit, and ‖θ − θ*‖ still shrinks (added after one that only passed by); it has diverged once ‖θ − θ*‖ has grown by 1e8.
It has landed once θ, in units of the spread of the minimisers, and α are within 1e-6 of the root.
:mod:`l2m.paper.studies.mixing_convergence_claims` has the rules of the claims.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Annotated

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2m.paper.studies import STUDIES, Claim, Setting, Study, Tables
from l2m.paper.studies.fixed_point import fixed_point, least_squares, minimax, spectral_radius, weighted
from l2m.paper.studies.group_losses import Floats, GroupLosses, descend, sample
from l2m.paper.studies.mixing_convergence_claims import judge
from l2m.paper.studies.mixing_convergence_figures import draw_agreeing, draw_disagreeing
from l2m.schema import Range

AGREE, DISAGREE, VANISH = range(3)
"""The three parts of the study, each with random numbers of its own."""

SHRUNK, GROWN, NEAR = 1e-8, 1e8, 1e-6

LEAST_NORM = 1e-150
"""Below it the squares that a norm sums underflow."""

VANISHED = 1e-200
"""Losses below it count as 0; they still have all their digits."""

VANISHING = ((0.5, 0.1), (0.5, 0.9), (0.95, 0.1), (0.95, 0.9))
"""η in units of 2/L*, and γ, where all losses vanish."""


@STUDIES.register("mixing_convergence")
@dataclass(kw_only=True)
class MixingConvergence(Study):
    """Training on random quadratics over a grid of rates."""

    rules = judge.__module__
    title = "Convergence of parameters and mixing proportions"
    question = (
        "Proposition 2.3 says that learn2mix leads to θ → θ* and α → L(θ*)/1ᵀL(θ*) for every learning rate in "
        "(0, 2/L*) and every mixing rate in (0, 1). Its proof assumes one θ* that minimises all group losses at once. "
        "Random strongly convex quadratics check it there, inside and outside the range of learning rates, then with "
        "groups that disagree about the minimiser, and with losses that all vanish at θ*, where the limit is 0/0."
    )

    problems: Annotated[int, Range(1)] = 20
    dimensions: Annotated[int, Range(2)] = 50
    groups: Annotated[int, Range(2)] = 20
    condition: Annotated[float, Range(1)] = 10.0
    spread: Annotated[float, Range(0, above=True)] = 1.0
    learning_rates: tuple[Annotated[float, Range(0, above=True)], ...] = (
        *(0.1, 0.3, 0.5, 0.7, 0.9, 0.99),
        *(1.01, 1.1, 1.3, 1.6, 2.0, 3.0),
    )
    mixing_rates: tuple[Annotated[float, Range(0, 1, above=True, below=True)], ...] = (0.01, 0.1, 0.5, 0.9, 0.99)
    starts: Annotated[int, Range(2)] = 4
    steps: Annotated[int, Range(10)] = 5000
    seed: Annotated[int, Range(0)] = 0

    def run(self, setting: Setting) -> dict[str, pd.DataFrame]:
        parts: dict[str, list[pd.DataFrame]] = {}
        for problem in range(self.problems):
            tables = self.agree(problem) | self.disagree(problem) | self.vanish(problem)
            for name, table in tables.items():
                table.insert(0, "problem", problem)
                parts.setdefault(name, []).append(table)
            setting.report(f"problem {problem + 1} of {self.problems}")
        return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}

    def claims(self, tables: Tables) -> list[Claim]:
        return judge(tables)

    def figures(self, tables: Tables) -> dict[str, Figure]:
        return {"agreeing": draw_agreeing(tables), "disagreeing": draw_disagreeing(tables)}

    def problem(self, part: int, problem: int) -> tuple[np.random.Generator, GroupLosses, Floats]:
        """A part's generator, group losses, and α̃ (k,), which is uniform on the simplex."""
        rng = np.random.default_rng([self.seed, part, problem])
        losses = sample(
            rng,
            groups=int(rng.integers(2, self.groups + 1)),
            parameters=int(rng.integers(2, self.dimensions + 1)),
            condition=self.condition,
            spread=self.spread if part == DISAGREE else 0.0,
        )
        return rng, losses, rng.dirichlet(np.ones(len(losses.minima)))

    def agree(self, problem: int) -> dict[str, pd.DataFrame]:
        """Groups with one minimiser, θ* = 0.

        Returns:
            agree: a row for each pair of rates. ``worst_contraction`` is the largest ‖θ^{t+1} − θ*‖ / ‖θ^t − θ*‖,
                ``rate`` its geometric mean over the second half of the steps, both until ‖θ − θ*‖ underflows, ``rho``
                the proof's bound, ``local_rate`` the spectral radius of I − η Σ α*_i A_i, ``edge`` the η where that is
                1, in units of 2/L*.
            curves: ‖θ − θ*‖ / ‖θ⁰ − θ*‖ and the largest |α − α*| over steps, at half of 2/L*.
        """
        rng, losses, tilde = self.problem(AGREE, problem)
        mu, largest = losses.mu.min(), losses.lipschitz.max()
        cells, eta, gamma = _grid(product(self.learning_rates, self.mixing_rates), losses)
        star = losses.minima / losses.minima.sum()
        start = 3 * rng.normal(size=(losses.minimisers.shape[1],))
        sizes, gaps = [], []
        ended = np.full(len(cells), -1)
        for t, (theta, alpha) in enumerate(islice(descend(losses, start, tilde, eta, gamma), self.steps + 1)):
            sizes.append(np.linalg.norm(theta, axis=1) / np.linalg.norm(start))
            gaps.append(np.abs(alpha - star).max(axis=1))
            shrinks = sizes[-1] <= sizes[max(t - 1, 0)]
            ends = ((sizes[-1] <= SHRUNK) & (gaps[-1] <= NEAR) & shrinks) | (sizes[-1] >= GROWN)
            ended[ends & (ended < 0)] = t
            if (ended >= 0).all():
                break
        size, gap = np.array(sizes), np.array(gaps)
        last = np.where(ended < 0, len(size) - 1, ended)
        each = np.arange(len(cells))
        stop = np.minimum(last, np.where(size > LEAST_NORM, np.arange(len(size))[:, None], 0).max(axis=0))
        ratios = size[1:] / np.maximum(size[:-1], LEAST_NORM)
        spectrum = np.linalg.eigvalsh(np.tensordot(star, losses.curvature, 1))
        table = cells.assign(
            parameters=len(start),
            groups=len(star),
            condition=largest / mu,
            outcome=np.where(ended < 0, "neither", np.where(size[last, each] >= GROWN, "diverged", "converged")),
            steps=last,
            worst_contraction=[ratios[: stop[cell], cell].max() for cell in each],
            rate=(size[stop, each] / size[stop // 2, each]) ** (1 / (stop - stop // 2)),
            rho=np.maximum(np.abs(1 - eta * mu), np.abs(1 - eta * largest)),
            local_rate=np.abs(1 - eta[:, None] * spectrum).max(axis=1),
            edge=largest / spectrum[-1],
            alpha_error=gap[last, each],
        )
        return {"agree": table, "curves": self.curves(table, size, gap)} if problem == 0 else {"agree": table}

    def curves(self, table: pd.DataFrame, size: Floats, gap: Floats) -> pd.DataFrame:
        """The first 200 points of every second step, for each γ at the η nearest half of 2/L*."""
        rate = min(self.learning_rates, key=lambda rate: abs(rate - 0.5))
        steps = np.arange(0, len(size), 2)[:200]
        cells = table[table["learning_rate"] == rate]
        rows = cells.loc[cells.index.repeat(len(steps)), ["learning_rate", "mixing_rate"]]
        return rows.assign(
            step=np.tile(steps, len(cells)),
            theta_error=size[steps][:, cells.index].T.ravel(),
            alpha_error=gap[steps][:, cells.index].T.ravel(),
            bound=(cells["rho"].to_numpy()[:, None] ** steps).ravel(),
        ).reset_index(drop=True)

    def disagree(self, problem: int) -> dict[str, pd.DataFrame]:
        """Groups with minimisers of their own.

        Returns:
            disagree: a row for each pair of rates. ``distance`` is that of the last θ from the root, in units of the
                spread of the minimisers, ``alpha_error`` the largest |α − α at the root|, ``radius`` the spectral
                radius of a step's Jacobian at the root.
            points: a row for each of the root and the minimisers of Σ L_i², of the classical risk, of the groups'
                mean and of the worst group. ``distance`` is that from the root; the losses at each point follow.
        """
        rng, losses, tilde = self.problem(DISAGREE, problem)
        cells, eta, gamma = _grid(product(self.learning_rates, self.mixing_rates), losses)
        k, m = losses.minimisers.shape
        root = fixed_point(losses)
        spread = np.sqrt(((losses.minimisers - losses.minimisers.mean(axis=0)) ** 2).sum(axis=1).mean())
        at_root = losses.losses(root[None])[0]
        start = 3 * rng.normal(size=(m,))
        for theta, alpha in islice(descend(losses, start, tilde, eta, gamma), self.steps + 1):
            distance = np.linalg.norm(theta - root, axis=1) / spread
            gap = np.abs(alpha - at_root / at_root.sum()).max(axis=1)
            landed, diverged = (distance <= NEAR) & (gap <= NEAR), distance >= GROWN
            if (landed | diverged).all():
                break
        table = cells.assign(
            outcome=np.where(landed, "landed", np.where(diverged, "diverged", "elsewhere")),
            distance=distance,
            alpha_error=gap,
            radius=[spectral_radius(losses, root, e, g) for e, g in zip(eta, gamma, strict=True)],
        )
        points = {
            "root": root,
            "least squares": least_squares(losses),
            "classical": weighted(losses, tilde),
            "mean": weighted(losses, np.full(k, 1 / k)),
            "worst group": minimax(losses),
        }
        theta = np.stack(list(points.values()))
        at_points = losses.losses(theta)
        columns = {
            "point": list(points),
            "distance": [np.linalg.norm(point - root) / spread for point in theta],
            "classical_risk": at_points @ tilde,
            "mean_loss": at_points.mean(axis=1),
            "worst_loss": at_points.max(axis=1),
        }
        return {"disagree": table, "points": pd.DataFrame(columns)}

    def vanish(self, problem: int) -> dict[str, pd.DataFrame]:
        """Groups with one minimiser, θ* = 0, and no loss there.

        Returns:
            vanish: a row for each pair of rates, start and group. ``alpha`` is its share when the largest loss first
                falls below 1e-200, NaN if it does not; ``alpha_end`` its share at the end, and ``zero`` whether all
                losses are exactly 0 by then.
        """
        rng, losses, tilde = self.problem(VANISH, problem)
        losses = replace(losses, minima=np.zeros_like(losses.minima))
        k, m = losses.minimisers.shape
        cells, eta, gamma = _grid((rates for rates in VANISHING for _ in range(self.starts)), losses)
        cells["start"] = np.tile(np.arange(self.starts), len(VANISHING))
        starts = 3 * rng.normal(size=(self.starts, m))
        settled = np.full((len(cells), k), np.nan)
        for theta, alpha in islice(descend(losses, starts[cells["start"]], tilde, eta, gamma), 4 * self.steps + 1):
            largest = losses.losses(theta).max(axis=1)
            first = (largest < VANISHED) & np.isnan(settled[:, 0])
            settled[first] = alpha[first]
            if not largest.any():
                break
        table = cells.loc[cells.index.repeat(k)].assign(
            group=np.tile(np.arange(k), len(cells)),
            alpha=settled.ravel(),
            alpha_end=alpha.ravel(),
            zero=np.repeat(largest == 0, k),
        )
        return {"vanish": table.reset_index(drop=True)}


def _grid(pairs: Iterable[tuple[float, float]], losses: GroupLosses) -> tuple[pd.DataFrame, Floats, Floats]:
    """A row for each pair of rates, and all η (n,) and γ (n,)."""
    cells = pd.DataFrame(pairs, columns=["learning_rate", "mixing_rate"])
    return cells, cells["learning_rate"].to_numpy() * 2 / losses.lipschitz.max(), cells["mixing_rate"].to_numpy()
