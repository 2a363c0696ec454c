"""The studies of Propositions 2.3 and 2.5, against small computations of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import optimize

from l2m.config.user_folders import conf_dir
from l2m.paper.studies import STUDIES, Claim, Setting
from l2m.paper.studies.fixed_point import fixed_point, least_squares, minimax, spectral_radius, weighted
from l2m.paper.studies.group_losses import Floats, GroupLosses, descend, mix, sample
from l2m.paper.studies.mixing_convergence import DISAGREE, MixingConvergence
from l2m.paper.studies.one_step import OneStep
from l2m.paper.studies.one_step_proof import READINGS, Point, check_proof
from l2m.sampling.sampler import Learn2MixBatchSampler

SMALL = MixingConvergence(
    problems=2,
    dimensions=4,
    groups=3,
    condition=3.0,
    learning_rates=(0.4, 0.9, 4.0),
    mixing_rates=(0.2, 0.7),
    steps=1500,
)
STEPS = OneStep(problems=40, dimensions=6, groups=5)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting(results_dir="", data_dir="", report=lambda line: None)


@pytest.fixture(scope="module")
def mixing(setting: Setting) -> dict[str, pd.DataFrame]:
    return SMALL.run(setting)


@pytest.fixture(scope="module")
def steps(setting: Setting) -> dict[str, pd.DataFrame]:
    return STEPS.run(setting)


def by_key(claims: list[Claim]) -> dict[str, Claim]:
    found = {claim.key: claim for claim in claims}
    assert len(found) == len(claims)
    return found


def on_a_line(curvature: list[float], minimisers: list[float], least: list[float]) -> GroupLosses:
    """Quadratics of one parameter."""
    k = len(curvature)
    return GroupLosses(
        curvature=np.reshape(curvature, (k, 1, 1)).astype(float),
        minimisers=np.reshape(minimisers, (k, 1)).astype(float),
        minima=np.array(least, float),
        ridges=np.zeros((k, 0, 1)),
    )


@pytest.mark.parametrize("name", ["mixing_convergence", "one_step"])
def test_the_yaml_lists_every_option_at_its_default(name: str) -> None:
    listed: dict[str, Any] = yaml.safe_load((conf_dir() / "study" / f"{name}.yaml").read_text())
    defaults = STUDIES.defaults(name)
    assert listed.pop("name") == name
    assert {key: tuple(value) if isinstance(value, list) else value for key, value in listed.items()} == defaults


# Group losses


@pytest.mark.parametrize("ridges", [0, 2])
def test_gradients_are_those_of_the_losses(ridges: int) -> None:
    rng = np.random.default_rng(0)
    groups = sample(rng, groups=3, parameters=4, condition=5.0, spread=1.0, ridges=ridges)
    theta = rng.normal(size=4)
    for i in range(3):
        numeric = optimize.approx_fprime(theta, lambda at, i=i: groups.losses(at[None])[0, i], 1e-7)
        np.testing.assert_allclose(groups(theta[None])[1][0, i], numeric, atol=1e-5)
    np.testing.assert_allclose(np.diagonal(groups.losses(groups.minimisers)), groups.minima, rtol=1e-14)
    np.testing.assert_allclose(np.diagonal(groups(groups.minimisers)[1]), 0, atol=1e-15)


def test_a_loss_of_one_parameter_is_what_the_formula_says() -> None:
    groups = replace(on_a_line([2.0], [1.0], [0.5]), ridges=np.array([[[3.0]]]))
    assert groups.losses(np.array([[1.4]]))[0, 0] == pytest.approx(0.5 + 0.4**2 + np.log(np.cosh(1.2)))
    assert (groups.mu[0], groups.lipschitz[0]) == (2.0, 11.0)


@pytest.mark.parametrize("ridges", [0, 2])
def test_the_constants_bound_the_gradients_and_are_reached(ridges: int) -> None:
    rng = np.random.default_rng(1)
    groups = sample(rng, groups=3, parameters=4, condition=5.0, ridges=ridges)

    def slopes(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        change, gap = groups(x)[1] - groups(y)[1], x - y
        square = (gap**2).sum(axis=1, keepdims=True)
        return np.einsum("nkm,nm->nk", change, gap) / square, np.linalg.norm(change, axis=2) / np.sqrt(square)

    convex, smooth = slopes(*10 ** rng.uniform(-3, 3, (1000, 1)) * rng.normal(size=(2, 1000, 4)))
    assert (convex >= groups.mu * (1 - 1e-9)).all()
    assert (smooth <= groups.lipschitz * (1 + 1e-9)).all()
    # near the minimiser the ridges bend most; far from it they do not bend at all
    for scale, constant, sign in ((1e-4, groups.lipschitz, 1), (1e12, groups.mu, -1)):
        for i in range(3):
            direction = rng.normal(size=4)
            for _ in range(500):  # power iteration on the gradient itself
                gradient = groups(scale * direction[None])[1][0, i] / scale
                direction = gradient if sign > 0 else groups.lipschitz[i] * direction - gradient
                direction /= np.linalg.norm(direction)
            assert groups(scale * direction[None])[1][0, i] @ direction / scale == pytest.approx(constant[i], rel=1e-6)


@pytest.mark.parametrize(
    "losses", [[1.0, 2.0, 5.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [1e308] * 3, [5e-324, 1e-320, 0.0]]
)
def test_mixing_is_that_of_the_sampler(losses: list[float]) -> None:
    start = [0.2, 0.5, 0.3]
    sampler = Learn2MixBatchSampler([0, 1, 2], batch_size=1, mixing_rate=0.3, proportions=start)
    sampler.update(losses)
    ours = mix(np.array([start]), np.array([losses]), np.array([0.3]))[0]
    np.testing.assert_allclose(ours, sampler.proportions.numpy(), rtol=1e-12)
    assert (ours == start).all() == (not any(losses))


def test_a_step_uses_the_losses_before_it() -> None:
    groups = on_a_line([1.0, 4.0], [0.0, 0.0], [0.5, 0.0])
    states = descend(groups, np.array([[1.0]]), np.array([[0.5, 0.5]]), np.array([0.1]), np.array([0.2]))
    next(states)
    theta, alpha = next(states)  # losses 1 and 2, gradients 1 and 4
    assert theta[0, 0] == pytest.approx(1 - 0.1 * 2.5)
    np.testing.assert_allclose(alpha[0], [0.5 + 0.2 * (1 / 3 - 0.5), 0.5 + 0.2 * (2 / 3 - 0.5)])


# Where training settles


def test_the_fixed_point_of_two_parabolas_is_a_root_of_a_cubic() -> None:
    groups = on_a_line([1.0, 6.0], [-1.0, 2.0], [0.3, 0.1])
    parabolas = [np.poly1d([a / 2, -a * at, a * at**2 / 2 + c]) for a, at, c in ((1, -1, 0.3), (6, 2, 0.1))]
    roots = sum(p * p.deriv() for p in parabolas).roots
    real = roots[np.isclose(roots.imag, 0)].real
    assert len(real) == 1
    assert fixed_point(groups)[0] == pytest.approx(real[0])
    assert least_squares(groups)[0] == pytest.approx(real[0])
    crossing = (parabolas[0] - parabolas[1]).roots
    assert minimax(groups)[0] == pytest.approx(crossing[(crossing > -1) & (crossing < 2)][0])
    assert weighted(groups, np.array([0.6, 0.4]))[0] == pytest.approx((-0.6 + 0.4 * 12) / (0.6 + 2.4))


def test_the_least_worst_loss_is_that_of_the_epigraph() -> None:
    """The least s with s ≥ L_i(θ) for all i, as a problem of its own."""
    groups = sample(np.random.default_rng(2), groups=4, parameters=6, condition=5.0, spread=1.0)
    found = optimize.minimize(
        lambda point: (point[-1], np.eye(7)[-1]),
        np.append(np.zeros(6), groups.losses(np.zeros((1, 6))).max()),
        jac=True,
        hess=lambda point: np.zeros((7, 7)),
        method="trust-constr",
        constraints=optimize.NonlinearConstraint(
            lambda point: point[-1] - groups.losses(point[None, :-1])[0], 0, np.inf
        ),
        options={"maxiter": 2000, "gtol": 1e-10, "xtol": 1e-12},
    )
    assert groups.losses(minimax(groups)[None]).max() == pytest.approx(found.fun, rel=1e-5)
    np.testing.assert_allclose(minimax(groups), found.x[:-1], atol=1e-3)


def test_the_spectral_radius_is_that_of_a_numeric_jacobian() -> None:
    groups = sample(np.random.default_rng(3), groups=3, parameters=4, condition=5.0, spread=1.0)
    root = fixed_point(groups)
    losses = groups.losses(root[None])[0]
    settled = np.concatenate([root, losses / losses.sum()])

    def step(state: Floats) -> Floats:
        states = descend(groups, state[None, :4], state[None, 4:], np.array([0.3]), np.array([0.6]))
        next(states)
        return np.concatenate([part[0] for part in next(states)])

    np.testing.assert_allclose(step(settled), settled, atol=1e-12)
    numeric = optimize.approx_fprime(settled, step, 1e-7)
    assert spectral_radius(groups, root, 0.3, 0.6) == pytest.approx(np.abs(np.linalg.eigvals(numeric)).max(), abs=1e-5)


def test_training_lands_at_the_root(mixing: dict[str, pd.DataFrame]) -> None:
    table = mixing["disagree"]
    assert set(table.loc[table["learning_rate"] == 0.4, "outcome"]) == {"landed"}
    assert set(table.loc[table["learning_rate"] == 4.0, "outcome"]) == {"diverged"}
    assert ((table["alpha_error"] <= 1e-6) == (table["outcome"] == "landed")).all()
    _, groups, tilde = SMALL.problem(DISAGREE, 1)
    theta, alpha = np.zeros(groups.minimisers.shape[1]), tilde
    for _ in range(3000):  # eq. 3 and 4, group by group
        losses, gradients = [], []
        for curvature, minimiser, least in zip(groups.curvature, groups.minimisers, groups.minima, strict=True):
            gradients.append(curvature @ (theta - minimiser))
            losses.append(least + (theta - minimiser) @ gradients[-1] / 2)
        theta = theta - 0.1 * sum(a * g for a, g in zip(alpha, gradients, strict=True))
        alpha = alpha + 0.3 * (np.array(losses) / sum(losses) - alpha)
    np.testing.assert_allclose(theta, fixed_point(groups), atol=1e-8)
    points = mixing["points"].query("problem == 1").set_index("point")
    assert points.loc["classical", "classical_risk"] == points["classical_risk"].min()
    assert points.loc["mean", "mean_loss"] == points["mean_loss"].min()
    assert points.loc["worst group", "worst_loss"] <= points["worst_loss"].min() * (1 + 1e-9)


# Proposition 2.3


def test_groups_with_one_curvature_converge_at_the_known_rate() -> None:
    """Groups with the same curvature a, in every direction, shrink ‖θ‖ by |1 − ηa| at each step, whatever α is."""
    study = replace(SMALL, condition=1.0, learning_rates=(0.3,))
    _, groups, _ = study.problem(0, 0)
    table = study.agree(0)["agree"]
    assert (table["outcome"] == "converged").all()
    assert (table["worst_contraction"] <= table["rho"]).all()
    same = replace(groups, curvature=np.broadcast_to(2 * np.eye(groups.minimisers.shape[1]), groups.curvature.shape))
    start = np.ones((1, groups.minimisers.shape[1]))
    states = descend(
        same, start, np.full((1, len(groups.minima)), 1 / len(groups.minima)), np.array([0.1]), np.array([0.5])
    )
    for t, (theta, _alpha) in zip(range(5), states, strict=False):
        np.testing.assert_allclose(theta, 0.8**t, rtol=1e-12)


def test_trainings_converge_inside_and_diverge_far_outside(mixing: dict[str, pd.DataFrame]) -> None:
    table = mixing["agree"]
    assert len(table) == 2 * 3 * 2
    assert set(table.loc[table["learning_rate"] < 1, "outcome"]) == {"converged"}
    assert set(table.loc[table["learning_rate"] == 4.0, "outcome"]) == {"diverged"}
    assert (table["edge"] >= 1).all()
    done = table[table["outcome"] == "converged"]
    np.testing.assert_allclose(done["rate"], done["local_rate"], rtol=0.05)


def test_a_training_that_passes_by_has_not_converged() -> None:
    """As α comes within 1e-6 of α*, ‖θ‖ has shrunk by 4e-37, but grows by 3.5 % a step, and so up to 1 %."""
    table = MixingConvergence(learning_rates=(1.6,), mixing_rates=(0.01,)).agree(2)["agree"]
    assert table["edge"][0] < 1.6
    assert table["local_rate"][0] > 1.03
    assert table["outcome"][0] == "neither"


def test_losses_that_vanish_leave_finite_proportions(mixing: dict[str, pd.DataFrame]) -> None:
    table = mixing["vanish"]
    assert table["zero"].all()
    for column in ("alpha", "alpha_end"):
        sums = table.groupby(["problem", "learning_rate", "mixing_rate", "start"])[column].sum()
        np.testing.assert_allclose(sums, 1)


def test_the_claims_follow_the_tables(mixing: dict[str, pd.DataFrame]) -> None:
    found = by_key(SMALL.claims(mixing))
    assert found["inside"].verdict == found["rate"].verdict == found["squares"].verdict == "reproduced"
    assert found["optimum"].verdict == "not reproduced"
    assert "8 of 8" in found["inside"].ours

    spoilt = {name: table.copy() for name, table in mixing.items()}
    spoilt["agree"].loc[0, ["outcome", "worst_contraction"]] = ["neither", 1.5]
    spoilt["disagree"].loc[0, ["outcome", "radius"]] = ["elsewhere", 0.5]
    spoilt["points"].loc[spoilt["points"]["point"] == "least squares", "distance"] = 0.1
    spoilt["points"].loc[spoilt["points"]["point"] == "classical", "distance"] = 0.0
    spoilt["points"].loc[spoilt["points"]["point"] == "classical", "worst_loss"] = 0.0
    spoilt["vanish"]["alpha"] = 0.5
    judged = {key: claim.verdict for key, claim in by_key(SMALL.claims(spoilt)).items()}
    assert {key for key, verdict in judged.items() if verdict == "reproduced"} == {"optimum", "vanish"}
    spoilt["vanish"].loc[0, "alpha"] = np.nan  # one that has not settled agrees with none
    assert by_key(SMALL.claims(spoilt))["vanish"].verdict == "not reproduced"


@pytest.mark.parametrize(
    ("edge", "outcome", "verdict"),
    [(2.0, "diverged", "reproduced"), (5.0, "diverged", "direction only"), (2.0, "converged", "not reproduced")],
)
def test_the_edge_is_judged_on_both_sides(
    mixing: dict[str, pd.DataFrame], edge: float, outcome: str, verdict: str
) -> None:
    table = mixing["agree"].assign(edge=edge)
    table.loc[table["learning_rate"] == 4.0, "outcome"] = outcome
    assert by_key(SMALL.claims(mixing | {"agree": table}))["edge"].verdict == verdict


# Proposition 2.5


def by_hand() -> Point:
    """½ x² and 2 x² from x = 2 by η = 0.2, which is 0.4 · 2/L*, to x = 2 − 0.2 · 2.5 · 2 = 1."""
    return Point(on_a_line([1, 4], [0, 0], [0, 0]), np.array([0.5, 0.5]), np.array([2.0]), 0.4)


def test_a_problem_whose_answer_is_known() -> None:
    """d = (0.2, 0.8) − (0.5, 0.5), so v = 0.9 and g̃ = 2.5: eq. 9 asks for (1 − 2.5η) 0.9 ≥ 0.405 ηγ."""
    point = by_hand()
    np.testing.assert_allclose(point.e, 1)
    assert point.helpful_rates() == (0.0, pytest.approx(0.4 / 0.5))
    assert point.largest_gamma(0.2) == pytest.approx(2 * 0.5 / (0.2 * 0.9))
    for eta, gamma, better in ((0.1, 0.9, True), (0.39, 0.1, True), (0.39, 0.2, False), (0.41, 0.01, False)):
        ours, classical = (abs(1 - eta * (2.5 + rate * 0.9)) for rate in (gamma, 0))
        assert (ours <= classical) == better
        assert (point.difference(np.float64(eta), np.float64(gamma)) <= 0) == better
    assert point.first_factor == pytest.approx((0.5 - 4) + 0.5 * 0.5 + 0.5 * 2)
    for reading, number in {"norm": np.hypot(0.5, 2), "sum": 2.5, "mean": 1.25, "weighted": 1.25}.items():
        below = 0.1 * np.sqrt(17) * 4 * 0.3 * np.sqrt(2) * (1 - number)
        assert point.beta(np.float64(0.1), reading) == pytest.approx(-2.25 / below)


def test_the_first_step_is_classical_and_the_minimiser_is_0() -> None:
    problem = STEPS.problem(3)
    losses = problem.losses
    assert losses.ridges.shape[1] == 3
    np.testing.assert_array_equal(losses(np.zeros((1, len(problem.before))))[1], 0)
    gradient = sum(a * g for a, g in zip(problem.tilde, losses(problem.before[None])[1][0], strict=True))
    np.testing.assert_allclose(
        problem.e, problem.before - problem.first * 2 / losses.lipschitz.max() * gradient, rtol=1e-12
    )
    assert problem.towards.sum() == pytest.approx(0, abs=1e-12)


def test_the_difference_is_that_of_two_steps_taken() -> None:
    for index in range(10):
        problem = point = STEPS.problem(index)
        for eta, gamma in ((0.3, 0.5), (1.7, 0.9)):
            ends = [
                point.e - eta * np.einsum("k,km->m", problem.tilde + rate * point.towards, point.gradients)
                for rate in (gamma, 0.0)
            ]
            squares = [float(end @ end) for end in ends]
            found = float(point.difference(np.float64(eta), np.float64(gamma)))
            assert found == pytest.approx(squares[0] - squares[1], abs=1e-10 * sum(squares))


def test_the_gradient_changes_no_faster_than_the_constant_says_and_so_fast_somewhere() -> None:
    point = STEPS.problem(7)
    constant = point.scale / point.largest / np.linalg.norm(point.towards)
    change = np.random.default_rng(0).normal(size=(1000, len(point.tilde)))
    assert (np.linalg.norm(change @ point.gradients, axis=1) <= constant * np.linalg.norm(change, axis=1)).all()
    direction = change[0]
    for _ in range(2000):
        direction = point.gradients @ (direction @ point.gradients)
        direction /= np.linalg.norm(direction)
    assert np.linalg.norm(direction @ point.gradients) == pytest.approx(constant)


def test_another_unit_changes_parameters_and_nothing_else() -> None:
    problem = STEPS.problem(5)
    other = problem.scaled(7.0)
    np.testing.assert_allclose(other.e, 7 * problem.e)
    np.testing.assert_allclose(other.excess, problem.excess)
    np.testing.assert_allclose(other.gradients, problem.gradients / 7)
    np.testing.assert_allclose(other.helpful_rates(), problem.helpful_rates())


def test_the_steps_of_the_proof_at_a_point_known_by_hand() -> None:
    """At x = 1 with η = 0.2 and γ = 0.5: ∇L = 2.95, ∇L̃ = 2.5, J = 0.04 (2.95² − 2.5²), H = 0.4 · 0.45."""
    table = check_proof(by_hand(), np.array([0.2]), np.array([0.5])).set_index("step")
    assert (table["checked"].drop(["58", "40 norm", "40 sum", "40 mean", "40 weighted"]) == 1).all()
    j, h, lipschitz, apart = 0.04 * (2.95**2 - 2.5**2), 0.4 * 0.45, np.sqrt(17), 0.5 * 0.3 * np.sqrt(2)
    eq45, eq46 = 2 * 0.04 * lipschitz * apart * (2.95 + 2.5), 2 * 0.04 * lipschitz * apart * 4
    drop = -0.3 * 0.5 + 0.3 * 2
    eq52, eq53 = 0.5 + 1.25 + 0.5 * drop, 0.4 * (-2.25 + 0.5 * drop)
    eq58 = -2.25 / (0.2 * lipschitz * 4 * 0.3 * np.sqrt(2) - drop)
    beta = -2.25 / (0.2 * lipschitz * 4 * 0.3 * np.sqrt(2) * (1 - 2.5))
    expected = {
        "44 printed": j <= 0.45 * 5.45,
        "45 to 46": eq45 <= eq46,
        "48": j <= eq46,
        "51": h >= 0.4 * (2.95 - 4),
        "52 printed": np.isclose(2.95, eq52),
        "52": eq52 <= 2.95,
        "53": h >= eq53,
        "54": j - h <= eq46 - eq53,
        "56": eq46 <= eq53,
        "59 sum": eq58 <= beta,
    }
    assert {name: bool(table.loc[name, "holds"]) for name in expected} == {k: bool(v) for k, v in expected.items()}
    assert not table.loc["45 to 46", "holds"]
    assert not table.loc["52 printed", "holds"]


def test_every_counterexample_is_one(steps: dict[str, pd.DataFrame]) -> None:
    table = steps["counterexamples"]
    assert len(table)
    for row in table.itertuples():
        problem = STEPS.problem(row.problem)
        losses, e = problem.losses, problem.e
        earlier = losses.losses(problem.before[None])[0]
        alpha = problem.tilde + row.mixing_rate * (earlier / earlier.sum() - problem.tilde)
        eta = row.learning_rate * 2 / losses.lipschitz.max()
        gradients = losses(e[None])[1][0]
        ours, classical = (np.linalg.norm(e - eta * gradients.T @ shares) for shares in (alpha, problem.tilde))
        condition = row.beta > 0
        assert row.kind == ("(8) holds, (9) fails" if condition else "(8) fails, (9) holds")
        assert (ours > classical) == condition
        assert 0 < row.mixing_rate < 1
        assert row.mixing_rate <= row.beta or not condition


def test_the_bounds_hold_and_the_chain_does_not_start(steps: dict[str, pd.DataFrame]) -> None:
    proof = steps["proof"].set_index("step")
    for name in ("28 low", "28 high", "44", "45", "48", "51", "52", "53", "54", "55"):
        assert proof.loc[name, "holds"] == proof.loc[name, "checked"] > 0, name
    assert proof.loc["8", "holds"] == proof.loc["56", "holds"] == 0
    table = steps["problems"]
    assert (table["first_factor"] <= (table["ratio"] - 1) / 2).all()


def test_the_grid_tries_no_mixing_rate_above_beta_or_1() -> None:
    seen = set()
    for index in range(20):
        point = STEPS.problem(index)
        grid = STEPS.grid(point).query("reading == 'norm'")
        for row in grid.itertuples():
            eta = row.learning_rate * 2 / point.largest
            beta = point.first_factor / (eta * point.scale * (point.distance - np.linalg.norm(point.excess)))
            gamma = row.fraction * (min(beta, 1) if beta > 0 else 1)
            ends = [point.e - eta * (point.tilde + rate * point.towards) @ point.gradients for rate in (gamma, 0.0)]
            assert row.condition == (beta > 0)
            assert row.holds == (np.linalg.norm(ends[0]) <= np.linalg.norm(ends[1]))
            seen.add((beta > 1, row.holds))
    assert len(seen) == 4


def test_the_grid_counts_every_problem(steps: dict[str, pd.DataFrame]) -> None:
    counted = steps["grid"].groupby(["reading", "learning_rate", "fraction"])["problems"].sum()
    assert (counted == STEPS.problems).all()
    assert len(counted) == len(READINGS) * len(STEPS.learning_rates) * 4
    fails = steps["grid"].query("reading == 'norm' and not condition and fraction == 0.01 and learning_rate == 0.01")
    table = steps["problems"]
    small = (table["norm"] > 0) & (table["low"] < 0.01) & (table["high"] > 0.01)
    assert abs(int(fails["holds"].iloc[0]) - int(small.sum())) <= 1  # γ = 0.01 is small, but not 0


def test_the_verdicts_follow_the_tables(steps: dict[str, pd.DataFrame]) -> None:
    found = by_key(STEPS.claims(steps))
    assert found["corollary"].verdict == found["bounds"].verdict == "reproduced"
    assert found["chain"].verdict == found["unit"].verdict == "not reproduced"

    corrected = {name: table.copy() for name, table in steps.items()}
    table = corrected["problems"]
    holds = table["first_factor"] * table["norm"] > 0
    table["low"], table["high"] = np.where(holds, 0.0, np.nan), np.where(holds, np.inf, np.nan)
    table[["other_low", "other_high"]] = table[["low", "high"]]
    table["other_norm"], table["other_first_factor"] = table["norm"], table["first_factor"]
    corrected["proof"]["holds"] = corrected["proof"]["checked"]
    corrected["grid"]["holds"] = corrected["grid"]["problems"]
    assert {claim.verdict for claim in STEPS.claims(corrected)} == {"reproduced"}
    table.loc[holds.idxmax(), "high"] = 2.0
    judged = by_key(STEPS.claims(corrected))
    assert judged["iff"].verdict == "direction only"
    assert judged["sufficient"].verdict == "reproduced"


def test_the_same_options_give_the_same_tables(setting: Setting, steps: dict[str, pd.DataFrame]) -> None:
    fewer = replace(STEPS, problems=5).run(setting)["problems"]
    pd.testing.assert_frame_equal(fewer, steps["problems"].head(5))


# Figures


def test_claims_and_figures_are_made_of_tables_as_csv_keeps_them(
    mixing: dict[str, pd.DataFrame], steps: dict[str, pd.DataFrame], tmp_path: Any
) -> None:
    import matplotlib as mpl

    from l2m.report import drawing

    for study, tables in ((SMALL, mixing), (STEPS, steps)):
        kept = {}
        for name, table in tables.items():
            table.to_csv(tmp_path / name, index=False, float_format="%.7g")
            kept[name] = pd.read_csv(tmp_path / name)
        with mpl.rc_context(drawing.PRINT):
            for figure in study.figures(kept).values():
                figure.savefig(tmp_path / "figure.png", dpi=40)
                assert all(ax.get_ylabel() or ax.get_yticklabels() for ax in figure.axes)
                assert figure.get_supxlabel()
        strict = {claim.key: claim.verdict for claim in study.claims(tables)}
        assert {claim.key: claim.verdict for claim in study.claims(kept)} == strict
