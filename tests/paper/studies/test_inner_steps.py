"""The study of inner steps: closed forms against steps that are taken one by one, and verdicts on known laws."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from l2m.config.user_folders import conf_dir
from l2m.paper.studies import STUDIES, Setting
from l2m.paper.studies.inner_steps import InnerSteps
from l2m.paper.studies.quadratic_domains import fixed_point, simulate, spend
from l2m.paper.studies.records import read
from l2m.report import drawing

SMALL = {"longest": 4, "outer_steps": 1000, "conditions": (2.0, 5.0), "budget": 2000, "starts": 2, "seeds": 3}


@pytest.mark.parametrize(("steps", "condition"), [(1, 4.0), (3, 4.0), (10, 2.0)])
def test_the_fixed_point_has_no_hypergradient(steps: int, condition: float) -> None:
    """Through steps on the two losses themselves, differentiated by torch."""
    s = fixed_point(np.array([steps]), np.array([condition])).item()
    alpha = torch.tensor([(1 + s) / 2, (1 - s) / 2], dtype=torch.float64, requires_grad=True)
    curvature = torch.tensor([1, condition], dtype=torch.float64)
    theta = start = torch.full((2,), s, dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        loss = sum(
            weight * (curvature * (theta - centre).square()).sum() / 2
            for weight, centre in zip(alpha, (1.0, -1.0), strict=True)
        )
        (slope,) = torch.autograd.grad(loss, theta, create_graph=True)
        theta = theta - slope / (2 * condition)
    assert theta.tolist() == pytest.approx(start.tolist())  # the inner problem is solved
    validation = (theta - torch.tensor([1.0, -1.0])).square().sum() / 2
    (slopes,) = torch.autograd.grad(validation, alpha)
    assert (slopes[0] - slopes[1]).item() == pytest.approx(0, abs=1e-12)
    assert s < -0.01


def test_one_step_settles_at_weights_that_no_rate_corrects() -> None:
    conditions = np.array([2.0, 4.0, 10.0])
    assert fixed_point(np.array([1]), conditions)[0] == pytest.approx((1 - conditions) / (1 + conditions))
    assert simulate(2, conditions, [300, 3000])[-1] == pytest.approx(
        fixed_point(np.array([1, 2]), conditions), abs=1e-6
    )


def walk(steps: int, rounds: int, inner: float, outer: float, noise: float, start: tuple, rng) -> tuple[float, float]:
    """Mean s² and ½|θ|² over rounds of inner steps, one by one."""
    odds, theta = start
    sums = np.zeros(2)
    for _ in range(rounds):
        s = np.tanh(odds / 2)
        slope = np.zeros(2)
        for _ in range(steps):
            theta = theta - inner * (np.array([1, 4]) * (theta - s) + noise * rng.standard_normal(2))
            slope = slope - inner * np.array([1, 4]) * (slope - 1)
        sums += s**2, theta @ theta / 2
        odds = odds - 2 * outer * slope @ (theta - [1, -1])
    return tuple(sums / rounds)


def test_a_budget_is_spent_step_by_step() -> None:
    starts = np.array([0.7, -1.2]), np.array([[0.3, -0.4], [1.1, 0.2]])
    inner, outer = np.array([0.1, 0.05]), np.array([0.5, 2.0])
    found = spend(3, [2, 7, 60], inner, outer, starts, 4.0, 0.0, np.random.default_rng(0))
    assert np.isnan(found[0][0]).all()  # 2 steps allow no outer one
    for place, rounds in ((1, 2), (2, 20)):
        for i, eta in enumerate(inner):
            for o, beta in enumerate(outer):
                for run in range(2):
                    expected = walk(3, rounds, eta, beta, 0.0, (starts[0][run], starts[1][:, run]), np.random)
                    cell = (place, i, o, run)
                    assert (found[0][cell], found[1][cell]) == pytest.approx(expected)


def test_noise_of_steps_is_drawn_at_once() -> None:
    runs = 4000
    starts = np.full(runs, 0.7), np.full((2, runs), 0.3)
    found = spend(5, [10], np.array([0.1]), np.array([0.5]), starts, 4.0, 1.0, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    expected = np.array([walk(5, 2, 0.1, 0.5, 1.0, (0.7, np.full(2, 0.3)), rng) for _ in range(1000)])
    for ours, theirs in zip(found, expected.T, strict=True):
        error = np.hypot(ours.std() / runs**0.5, theirs.std() / len(theirs) ** 0.5)
        assert abs(ours.mean() - theirs.mean()) < 4 * error
        assert ours.std() == pytest.approx(theirs.std(), rel=0.15)


def best(law: str) -> pd.DataFrame:
    """T of five seeds that follow a law but for a few percent, for both kinds of gradients and both gaps."""
    budgets = np.geomspace(100, 100_000, 10).round()
    g = {"log": 3 * np.log(budgets) - 5, "root": 0.5 * np.sqrt(budgets * np.log(budgets)), "flat": 0 * budgets + 20}
    g["between"] = budgets**0.26
    rng = np.random.default_rng(0)
    return pd.DataFrame([
        {"gradients": gradients, "criterion": criterion, "budget": int(budget), "inner_steps": steps, "seed": seed}
        for gradients in ("full", "stochastic")
        for criterion in ("weights", "parameters")
        for seed in range(5)
        for budget, steps in zip(budgets, g[law] * rng.lognormal(0, 0.05, len(budgets)), strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("law", "full", "stochastic"),
    [
        ("log", "reproduced", "contradicted"),
        ("root", "contradicted", "reproduced"),
        ("between", "direction only", "direction only"),
        ("flat", "not reproduced", "not reproduced"),
    ],
)
def test_verdicts_know_a_law(law: str, full: str, stochastic: str) -> None:
    points = InnerSteps(**SMALL)._fixed_points()
    claims = {claim.key: claim for claim in InnerSteps().claims({"fixed_points": points, "best": best(law)})}
    assert len(claims) == 6
    assert claims["fixed_point"].verdict == claims["greedy"].verdict == "reproduced"
    assert claims["full_weights"].verdict == claims["full_parameters"].verdict == full
    assert claims["stochastic_weights"].verdict == claims["stochastic_parameters"].verdict == stochastic
    assert claims["stochastic_weights"].note.endswith(": log N fits better") == (law == "log")
    assert claims["full_weights"].note.endswith(": √(N log N) fits better") == (law == "root")


def test_verdicts_of_the_committed_tables() -> None:
    """With stochastic gradients the weights' best T grows as N^0.18: log N fits, the claimed law does not."""
    one = read(Path(__file__).resolve().parents[3] / "results" / "studies" / "inner_steps-8c4f2927")
    claims = {claim.key: claim for claim in one.study.claims(one.tables)}
    assert {key: claim.verdict for key, claim in claims.items()} == {
        "fixed_point": "reproduced", "greedy": "reproduced", "full_weights": "reproduced",
        "full_parameters": "reproduced", "stochastic_weights": "contradicted", "stochastic_parameters": "reproduced",
    }  # fmt: skip
    assert "as N^0.18" in claims["stochastic_weights"].ours
    assert claims["stochastic_weights"].note.endswith("+6 ± 3 points: log N fits better")


def test_points_that_miss_are_not_reproduced() -> None:
    points = InnerSteps(**SMALL)._fixed_points()
    points["simulated"] += 1e-4
    tables = {"fixed_points": points, "best": best("log")}
    assert InnerSteps().claims(tables)[0].verdict == "not reproduced"
    points["simulated"] = 0.5
    assert InnerSteps().claims(tables)[1].verdict == "not reproduced"


def test_the_study_runs_is_repeated_and_is_drawn(tmp_path: Path) -> None:
    reports: list[str] = []
    tables = InnerSteps(**SMALL).run(Setting(str(tmp_path), "data", reports.append))
    repeated = InnerSteps(**SMALL).run(Setting(str(tmp_path), "data", reports.append))
    assert tables.keys() == {"fixed_points", "gaps", "best"}
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, repeated[name])
        assert table.notna().all(axis=None)
    assert len(tables["best"]) == 2 * 2 * 10 * 3
    assert (tables["best"]["inner_steps"] <= tables["best"]["budget"]).all()
    assert {claim.key for claim in InnerSteps(**SMALL).claims(tables)} >= {"fixed_point", "greedy", "full_weights"}
    assert reports
    with mpl.rc_context(drawing.PRINT):
        for name, figure in InnerSteps(**SMALL).figures(tables).items():
            assert all(axes.get_xlabel() for axes in figure.axes)
            assert drawing.save(figure, tmp_path / name)[1].stat().st_size > 5000


def test_the_yaml_holds_the_defaults() -> None:
    options = yaml.safe_load((conf_dir() / "study" / "inner_steps.yaml").read_text())
    assert STUDIES[options.pop("name")] is InnerSteps
    defaults = dataclasses.asdict(InnerSteps())
    assert {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()} == defaults
