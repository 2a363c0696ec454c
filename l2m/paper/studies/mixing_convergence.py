"""Proposition 2.3 by numbers: θ → θ* and α → L(θ*) / 1ᵀL(θ*), where it is proved, at its edges and beyond it.

Group losses are random quadratics. The proof takes one θ* that minimises every group loss, with L_i(θ*) > 0
(``agree``). Two cases are outside it. Groups that ``disagree`` have minimisers of their own; training then rests at
the minimiser of Σ L_i² (:mod:`l2m.paper.studies.fixed_point`). Losses that ``vanish`` together at θ* make the limit
of eq. 5 the quotient 0/0. The strategy then leaves α where it is, as the only value that needs no division: no group
has anything left to learn.

Rules, fixed before the runs. A training has converged once ‖θ − θ*‖ has shrunk by 1e-8 and α is within 1e-6 of its
limit, and ‖θ − θ*‖ still shrinks (added after one that only passed by); it has diverged once ‖θ − θ*‖ has grown by 1e8.
It has landed once θ, in units of the spread of the minimisers, and α are within 1e-6 of the root.
:mod:`l2m.paper.studies.mixing_report` has the rules of the claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import pandas as pd

from l2m.paper.studies import STUDIES, Claim, Setting, Study, Tables, mixing_report
from l2m.paper.studies.fixed_point import fixed_point, least_squares, minimax, parts, spectral_radius, weighted
from l2m.paper.studies.group_losses import Floats, GroupLosses, descend, sample
from l2m.schema import Range

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AGREE, DISAGREE, VANISH = range(3)
"""The three parts of the study, each with random numbers of its own."""

SHRUNK, GROWN, NEAR = 1e-8, 1e8, 1e-6

DIGITS = 1e-150
"""A norm below it is a sum of squares that underflow."""

TINY = 1e-200
"""Losses below it have as good as vanished, and still have all their digits."""

VANISHING = ((0.5, 0.1), (0.5, 0.9), (0.95, 0.1), (0.95, 0.9))
"""η in units of 2/L*, and γ, where all losses vanish."""


@STUDIES.register("mixing_convergence")
@dataclass(kw_only=True)
class MixingConvergence(Study):
    """Training on random quadratics over a grid of rates.

    Attributes:
        problems: random problems in each of the three parts.
        dimensions: the most parameters; a problem has 2 to so many.
        groups: the most groups; a problem has 2 to so many.
        condition: the largest condition number of a group's Hessian. That of L*/μ* is up to 3.3 times it.
        spread: standard deviation of the minimisers' coordinates, where groups disagree.
        learning_rates: η in units of 2/L*.
        mixing_rates: γ.
        starts: initial parameters of a problem whose losses vanish.
        steps: the most steps of a training; four times as many where losses vanish.
        seed: all randomness.
    """

    rules: ClassVar[str] = "l2m.paper.studies.mixing_report"
    title: ClassVar[str] = "Convergence of parameters and mixing proportions"
    question: ClassVar[str] = (
        "Proposition 2.3 says that learn2mix leads to θ → θ* and α → L(θ*)/1ᵀL(θ*) for every learning rate in "
        "(0, 2/L*) and every mixing rate in (0, 1). Its proof takes one θ* that minimises all group losses at once. "
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
        found: dict[str, list[pd.DataFrame]] = {}
        for problem in range(self.problems):
            tables = self.agree(problem) | self.disagree(problem) | self.vanish(problem)
            for name, table in tables.items():
                table.insert(0, "problem", problem)
                found.setdefault(name, []).append(table)
            setting.tell(f"problem {problem + 1} of {self.problems}")
        return {name: pd.concat(tables, ignore_index=True) for name, tables in found.items()}

    def claims(self, tables: Tables) -> list[Claim]:
        return mixing_report.claims(tables)

    def figures(self, tables: Tables) -> dict[str, Figure]:
        return mixing_report.figures(tables)

    def problem(self, part: int, problem: int) -> tuple[np.random.Generator, GroupLosses, Floats]:
        """A part's random numbers, group losses and α̃ (k,), which is uniform on the simplex."""
        rng = np.random.default_rng([self.seed, part, problem])
        losses = sample(
            rng,
            groups=int(rng.integers(2, self.groups + 1)),
            parameters=int(rng.integers(2, self.dimensions + 1)),
            condition=self.condition,
            spread=self.spread if part == DISAGREE else 0.0,
        )
        return rng, losses, rng.dirichlet(np.ones(len(losses.least)))

    def grid(self, largest: float) -> tuple[pd.DataFrame, Floats]:
        """Every pair of rates, and their η (n,) for L* = ``largest``."""
        pairs = [(rate, gamma) for rate in self.learning_rates for gamma in self.mixing_rates]
        cells = pd.DataFrame(pairs, columns=["learning_rate", "mixing_rate"])
        return cells, cells["learning_rate"].to_numpy() * 2 / largest

    def agree(self, problem: int) -> dict[str, pd.DataFrame]:
        """Groups with one minimiser, θ* = 0.

        Returns:
            agree: a row for each pair of rates. ``worst_contraction`` is the largest ‖θ^{t+1} − θ*‖ / ‖θ^t − θ*‖,
                ``rate`` its geometric mean over the second half of the steps, both while ‖θ − θ*‖ has digits left,
                ``rho`` the proof's, ``local_rate`` the spectral radius of I − η Σ α*_i A_i, ``edge`` the η where that
                is 1, in units of 2/L*.
            curves: ‖θ − θ*‖ / ‖θ⁰ − θ*‖ and the largest |α − α*| over steps, at half of 2/L*.
        """
        rng, losses, tilde = self.problem(AGREE, problem)
        mu, largest = losses.mu.min(), losses.lipschitz.max()
        cells, eta = self.grid(largest)
        star = losses.least / losses.least.sum()
        start = 3 * rng.normal(size=(losses.minimisers.shape[1],))
        sizes, gaps = [], []
        ended = np.full(len(cells), -1)
        for t, (theta, alpha) in enumerate(self.trainings(losses, start, tilde, cells, eta)):
            sizes.append(np.linalg.norm(theta, axis=1) / np.linalg.norm(start))
            gaps.append(np.abs(alpha - star).max(axis=1))
            shrinks = sizes[-1] <= sizes[max(t - 1, 0)]
            over = ((sizes[-1] <= SHRUNK) & (gaps[-1] <= NEAR) & shrinks) | (sizes[-1] >= GROWN)
            ended[over & (ended < 0)] = t
            if (ended >= 0).all():
                break
        size, gap = np.array(sizes), np.array(gaps)
        last = np.where(ended < 0, len(size) - 1, ended)
        each = range(len(cells))
        stop = np.minimum(last, np.where(size > DIGITS, np.arange(len(size))[:, None], 0).max(axis=0))
        ratios = size[1:] / np.maximum(size[:-1], DIGITS)
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
        return {"agree": table} | ({"curves": self.curves(table, size, gap)} if problem == 0 else {})

    def curves(self, table: pd.DataFrame, size: Floats, gap: Floats) -> pd.DataFrame:
        """The first 200 points of every second step, for each γ at the η nearest half of 2/L*."""
        rate = min(self.learning_rates, key=lambda rate: abs(rate - 0.5))
        steps = np.arange(0, len(size), 2)[:200]
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "learning_rate": rate,
                        "mixing_rate": table["mixing_rate"][cell],
                        "step": steps,
                        "theta_error": size[steps, cell],
                        "alpha_error": gap[steps, cell],
                        "bound": table["rho"][cell] ** steps,
                    }
                )
                for cell in table.index[table["learning_rate"] == rate]
            ],
            ignore_index=True,
        )

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
        cells, eta = self.grid(losses.lipschitz.max())
        k, m = losses.minimisers.shape
        root = fixed_point(losses)
        spread = np.sqrt(((losses.minimisers - losses.minimisers.mean(axis=0)) ** 2).sum(axis=1).mean())
        rest = parts(losses, root)[0]
        start = 3 * rng.normal(size=(m,))
        for theta, alpha in self.trainings(losses, start, tilde, cells, eta):
            distance = np.linalg.norm(theta - root, axis=1) / spread
            gap = np.abs(alpha - rest / rest.sum()).max(axis=1)
            landed, diverged = (distance <= NEAR) & (gap <= NEAR), distance >= GROWN
            if (landed | diverged).all():
                break
        table = cells.assign(
            outcome=np.where(landed, "landed", np.where(diverged, "diverged", "elsewhere")),
            distance=distance,
            alpha_error=gap,
            radius=[spectral_radius(losses, root, e, g) for e, g in zip(eta, cells["mixing_rate"], strict=True)],
        )
        points = {
            "root": root,
            "least squares": least_squares(losses),
            "classical": weighted(losses, tilde),
            "mean": weighted(losses, np.full(k, 1 / k)),
            "worst group": minimax(losses),
        }
        at = losses.losses(np.stack(list(points.values())))
        return {
            "disagree": table,
            "points": pd.DataFrame(
                {
                    "point": list(points),
                    "distance": [np.linalg.norm(point - root) / spread for point in points.values()],
                    "classical_risk": at @ tilde,
                    "mean_loss": at.mean(axis=1),
                    "worst_loss": at.max(axis=1),
                }
            ),
        }

    def vanish(self, problem: int) -> dict[str, pd.DataFrame]:
        """Groups with one minimiser, θ* = 0, and no loss there.

        Returns:
            vanish: a row for each pair of rates, start and group. ``alpha`` is its share when the largest loss has
                first fallen below 1e-200, NaN if it has not; ``alpha_end`` its share at the end, and ``zero`` whether
                all losses are exactly 0 by then.
        """
        rng, losses, tilde = self.problem(VANISH, problem)
        losses = replace(losses, least=np.zeros_like(losses.least))
        k, m = losses.minimisers.shape
        cells = pd.DataFrame(VANISHING, columns=["learning_rate", "mixing_rate"]).merge(
            pd.DataFrame({"start": range(self.starts)}), how="cross"
        )
        eta = cells["learning_rate"].to_numpy() * 2 / losses.lipschitz.max()
        starts = 3 * rng.normal(size=(self.starts, m))
        settled = np.full((len(cells), k), np.nan)
        for theta, alpha in self.trainings(losses, starts[cells["start"]], tilde, cells, eta, longer=4):
            most = losses.losses(theta).max(axis=1)
            first = (most < TINY) & np.isnan(settled[:, 0])
            settled[first] = alpha[first]
            if not most.any():
                break
        rows = cells.loc[cells.index.repeat(k)].reset_index(drop=True)
        return {
            "vanish": rows.assign(
                group=np.tile(np.arange(k), len(cells)),
                alpha=settled.ravel(),
                alpha_end=alpha.ravel(),
                zero=np.repeat(most == 0, k),
            )
        }

    def trainings(
        self, losses: GroupLosses, start: Floats, tilde: Floats, cells: pd.DataFrame, eta: Floats, longer: int = 1
    ) -> Iterator[tuple[Floats, Floats]]:
        """θ (n, m) and α (n, k) of all cells after 0, 1, … steps, ``longer · steps`` at most."""
        theta = np.broadcast_to(start, (len(cells), start.shape[-1]))
        alpha = np.broadcast_to(tilde, (len(cells), len(tilde)))
        return islice(descend(losses, theta, alpha, eta, cells["mixing_rate"].to_numpy()), longer * self.steps + 1)
