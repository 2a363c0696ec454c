"""The study of common and rare features: Definition 3.1, the loss and its descent, and the rules of its claims."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from l2m.config.user_folders import conf_dir
from l2m.errors import UserError
from l2m.paper.studies import STUDIES, Setting
from l2m.paper.studies.feature_learning import FeatureLearning
from l2m.paper.studies.feature_patches import (
    COMMON,
    RARE,
    Definition,
    Patches,
    accuracy,
    descend,
    loss,
    margins,
    measures,
    memorised,
    span,
    strength,
)
from l2m.report import drawing
from l2m.seeding import generator

DEFINITION = Definition(dimension=30, patches=5, rare_share=0.3, borrowed=2, feature_noise=0.25, noise=0.5)
TINY = FeatureLearning(
    seeds=(0, 1),
    samples=12,
    dimension=60,
    patches=4,
    rare_share=0.4,
    borrowed=1,
    width=3,
    iterations=12,
    stop_at=4,
    points=4,
    test_samples=20,
    rare_shares=(0.6,),
    noises=(),
    widths=(2,),
    mixings=(),
    stops=(2, 9),
)
SETTING = Setting("", "", lambda line: None)


def drawn(n: int = 9, seed: int = 1) -> Patches:
    return DEFINITION.draw(n, generator(seed, "data"))


def weights(width: int = 3, dimension: int = 30) -> torch.Tensor:
    return torch.randn(2, width, dimension, generator=generator(0, "weights"), dtype=torch.float64) / 3


def test_samples_have_the_structure_of_definition_3_1() -> None:
    n = 4000
    data = drawn(n)
    x, kinds = data.inputs.numpy(), data.kinds.numpy()
    v, u, v_rare, u_rare = np.eye(30)[:4]
    lent_by_sample = []
    for sample, kind, positive, rare in zip(x, kinds, data.positive, data.rare, strict=True):
        (feature,) = sample[kind == 0]
        right = (v_rare if rare else v) if positive else (u_rare if rare else u)
        np.testing.assert_array_equal(feature, right)
        lent = sample[kind == 1]
        lent_by_sample.append(len(lent))
        assert all(np.array_equal(row, 0.25 * v) for row in lent) or all(np.array_equal(row, 0.25 * u) for row in lent)
        assert not (sample[kind == 2] @ np.array([v, u, v_rare, u_rare]).T).any(), "H takes the features off"
    assert np.bincount(lent_by_sample) / n == pytest.approx([1 / 3] * 3, abs=0.03), "up to b patches"
    assert np.bincount((kinds == 0).argmax(1), minlength=5) / n == pytest.approx([1 / 5] * 5, abs=0.03)
    noise = x[kinds == 2][:, 4:]
    assert noise.std() == pytest.approx(0.5, rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=0.005)
    assert float(data.positive.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(data.rare.double().mean()) == pytest.approx(0.3, abs=0.03)
    lent_v = (x[kinds == 1] @ v > 0).mean()
    assert lent_v == pytest.approx(0.5, abs=0.03), "feature noise says nothing of the class"


def mixed(data: Patches, share: float) -> tuple[np.ndarray, np.ndarray]:
    """All n² mixed samples and their one-hot targets mixed alike, made one by one."""
    x = data.inputs.numpy()
    onehot = np.stack([data.positive.numpy(), 1 - data.positive.numpy()], axis=1)
    pairs = list(product(range(len(x)), repeat=2))
    inputs = np.stack([share * x[i] + (1 - share) * x[j] for i, j in pairs])
    return inputs, np.stack([share * onehot[i] + (1 - share) * onehot[j] for i, j in pairs])


def by_hand(w: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean softmax cross entropy of the logits Σ_p Σ_r ⟨w_{k,r}, x^(p)⟩² and its gradient, written out."""
    inner = np.einsum("krd,npd->nkrp", w, inputs)
    logits = (inner**2).sum((2, 3))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    value = -(targets * np.log(chances)).sum(1).mean()
    slope = np.einsum("nk,nkrp,npd->krd", chances - targets, 2 * inner, inputs) / len(inputs)
    return value, slope


@pytest.mark.parametrize("share", [0.5, 0.7, 1.0])
def test_the_loss_and_a_step_are_those_of_every_mixed_pair_written_out(share: float) -> None:
    data, w = drawn(), weights()
    value, slope = by_hand(w.numpy(), *mixed(data, share))
    assert float(loss(w, data, share)) == pytest.approx(value, rel=1e-12)
    stepped = descend(w, data, share, rate=0.3, steps=1)
    np.testing.assert_allclose(stepped, w.numpy() - 0.3 * slope, rtol=0, atol=1e-14)


def test_descent_in_the_span_is_descent_in_all_dimensions() -> None:
    data, w = replace(DEFINITION, dimension=200).draw(9, generator(1, "data")), weights(dimension=200)
    basis = span(data)
    assert basis.shape[1] == 4 + int((data.kinds == 2).sum()) < 200
    inside = descend(w @ basis, replace(data, inputs=data.inputs @ basis), 0.6, 0.2, 20)
    whole = descend(w, data, 0.6, 0.2, 20)
    assert (whole - w).abs().max() > 0.01
    np.testing.assert_allclose(w + (inside - w @ basis) @ basis.T, whole, rtol=0, atol=1e-12)
    assert [strength(inside, i) for i in range(4)] == pytest.approx([strength(whole, i) for i in range(4)])
    assert torch.equal(span(drawn(60)), torch.eye(30, dtype=torch.float64)), "more patches than dimensions"


def test_measures_are_those_of_the_talk() -> None:
    data, w = drawn(60), weights()
    v, v_rare = np.eye(30)[0], np.eye(30)[2]
    assert strength(w, COMMON) == pytest.approx(sum(np.dot(row, v) ** 2 for row in w[0].numpy()))
    assert strength(w, RARE) == pytest.approx(sum(np.dot(row, v_rare) ** 2 for row in w[0].numpy()))
    logits = [
        [sum(np.dot(row, patch) ** 2 for row in k for patch in x) for k in w.numpy()] for x in data.inputs.numpy()
    ]
    first, second = np.array(logits).T
    np.testing.assert_allclose(margins(w, data.inputs), first - second)
    right = (first > second) == data.positive.numpy().astype(bool)
    assert 0 < right.mean() < 1
    assert accuracy(w, data) == pytest.approx(right.mean())
    noise = [
        sum(np.dot(row, patch) ** 2 for row in w[0].numpy() for patch in x[kind == 2])
        for x, kind, y, rare in zip(data.inputs.numpy(), data.kinds.numpy(), data.positive, data.rare, strict=True)
        if y == 1 and rare
    ]
    assert memorised(w, data) == pytest.approx(np.mean(noise))
    assert measures(w, data) == {
        "common": strength(w, COMMON),
        "rare": strength(w, RARE),
        "memorised": memorised(w, data),
        "train_loss": float(loss(w, data, 1)),
    }


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return TINY.run(SETTING)


def test_a_stop_is_mixup_before_and_standard_training_after(tables: dict[str, pd.DataFrame]) -> None:
    growth = tables["growth"]
    assert sorted(growth["iteration"].unique()) == [0, 1, 2, 4, 5, 12]
    curves = growth.set_index(["seed", "method", "iteration"])["common"].unstack("method")
    early = curves.index.get_level_values("iteration") <= 4
    assert (curves["stopped"] == curves["mixup"])[early].all()
    assert (curves["stopped"] != curves["mixup"])[~early].all()
    assert (curves["standard"] == curves["mixup"]).sum() == 2, "the methods start alike, and from nowhere else"
    definition = Definition(60, 4, 0.4, 1, TINY.feature_noise, TINY.noise)
    data = definition.draw(12, generator(1, "data"))
    first = torch.randn(2, 3, 60, generator=generator(1, "parameters"), dtype=torch.float64) * TINY.start
    switched = descend(descend(first, data, TINY.mixing, TINY.learning_rate, 4), data, 1, TINY.learning_rate, 8)
    assert strength(switched, COMMON) == pytest.approx(curves.loc[(1, 12), "stopped"], rel=1e-4), "in all dimensions"
    end = tables["ends"].query("varied == 'default' and seed == 1 and method == 'stopped'").iloc[0]
    for feature, share in (("common", 0.0), ("rare", 1.0)):
        test = replace(definition, rare_share=share).draw(20, generator(1, f"test {feature}"))
        assert end[f"accuracy_{feature}"] == accuracy(switched, test)


def test_tables_hold_each_variation_and_repeat(tables: dict[str, pd.DataFrame]) -> None:
    ends = tables["ends"]
    settings = ends[["varied", "value"]].drop_duplicates().itertuples(index=False, name=None)
    assert list(settings) == [("default", 0), ("rare_share", 0.6), ("width", 2), ("stop_at", 2), ("stop_at", 9)]
    assert len(ends) == 5 * 2 * 3
    assert ends.notna().all(axis=None)
    repeated = TINY.run(SETTING)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, repeated[name], check_exact=True)


def made_up(**changes: float) -> dict[str, pd.DataFrame]:
    """Tables in which all claims hold but for what changes, on three seeds with a little spread."""
    value = {
        "standard_common": 4.0,
        "standard_rare": 0.1,
        "mixup_common": 3.0,
        "mixup_rare": 2.0,
        "stopped_common": 5.0,
        "stopped_rare": 5.0,
        "first_rare": 0.2,
        "standard_accuracy": 0.5,
        "mixup_accuracy": 0.9,
        "stopped_accuracy": 0.95,
        "last_accuracy": 0.8,
        "width_2": 2.0,
        "width_5": 2.0,
    } | changes
    rows = []
    for seed, (varied, at, method) in product(
        range(3),
        [
            *(("default", 0, m) for m in ("standard", "mixup", "stopped")),
            *(("width", width, m) for width in (2, 5) for m in ("standard", "mixup")),
            *(("stop_at", stop, "stopped") for stop in (2, 9)),
        ],
    ):
        source = "first" if (varied, at) == ("stop_at", 2) else "last" if varied == "stop_at" else method
        rare = value[f"width_{at}"] if (varied, method) == ("width", "mixup") else value.get(f"{source}_rare", 1.0)
        rows.append(
            {
                "varied": varied,
                "value": at,
                "seed": seed,
                "method": method,
                "iteration": 12,
                "common": value.get(f"{source}_common", 3.0) * (1 + 0.01 * seed),
                "rare": rare * (1 + 0.01 * seed * (2 if method == "standard" else 1)),
                "accuracy_rare": value.get(f"{source}_accuracy", 0.9) + 0.001 * seed * (method == "standard"),
            }
        )
    ends = pd.DataFrame(rows)
    start = ends[ends["varied"] == "default"].assign(iteration=0, common=1e-3)
    return {"growth": start, "ends": ends}


@pytest.mark.parametrize(
    ("changes", "key", "verdict"),
    [
        ({"standard_common": 0.9}, "standard_common", "direction only"),
        ({"standard_common": 1e-4}, "standard_common", "not reproduced"),
        ({"mixup_common": 0.9}, "mixup_common", "direction only"),
        ({"standard_rare": 1.5}, "standard_rare", "direction only"),
        ({"standard_rare": 5.0}, "standard_rare", "not reproduced"),
        ({"mixup_rare": 0.9}, "mixup_rare", "direction only"),
        ({"mixup_rare": 0.09}, "mixup_rare", "not reproduced"),
        ({"standard_rare": 3.0}, "mixup_rare", "not reproduced"),
        ({"stopped_rare": 0.9}, "stopped_rare", "direction only"),
        ({"stopped_rare": 1.9}, "stopping_rare", "not reproduced"),
        ({"mixup_common": 6.0}, "stopping_common", "not reproduced"),
        ({"mixup_accuracy": 0.45}, "rare_test", "not reproduced"),
        ({"first_rare": 6.0}, "too_early", "not reproduced"),
        ({"last_accuracy": 0.96}, "too_late", "not reproduced"),
        ({"width_2": 0.09}, "other_sizes", "direction only"),
        ({"width_2": 0.09, "width_5": 0.09}, "other_sizes", "not reproduced"),
    ],
)
def test_a_claim_that_fails_is_reported_as_failing(changes: dict[str, float], key: str, verdict: str) -> None:
    assert {claim.verdict for claim in TINY.claims(made_up())} == {"reproduced"}
    judged = {claim.key: claim for claim in TINY.claims(made_up(**changes))}
    assert judged[key].verdict == verdict
    assert judged[key].note


def test_one_seed_has_no_verdict(tables: dict[str, pd.DataFrame]) -> None:
    one = {name: table[table["seed"] == 0] for name, table in tables.items()}
    claims = TINY.claims(one)
    assert {claim.verdict for claim in claims} == {"too few seeds"}
    assert len({claim.key for claim in claims}) == len(claims)
    assert len(TINY.claims(tables)) == len(claims)


def test_figures_draw_what_the_tables_hold(tables: dict[str, pd.DataFrame]) -> None:
    with mpl.rc_context(drawing.PRINT):
        figures = TINY.figures(tables)
        for figure in figures.values():
            figure.canvas.draw()
    rare = figures["growth"].axes[1]
    line = next(line for line in rare.lines if line.get_label() == "mixup")
    mixup = tables["growth"].query("method == 'mixup'")
    np.testing.assert_allclose(line.get_ydata(), np.exp(np.log(mixup["rare"]).groupby(mixup["iteration"]).mean()))
    panels = [ax for ax in figures["sizes"].axes if ax.axison]
    assert [[label.get_text() for label in ax.get_xticklabels()] for ax in panels] == [
        ["0.4", "0.6"],
        ["2", "3"],
        ["2", "4", "9"],
    ]


@pytest.mark.parametrize("options", [{"stop_at": 12}, {"stops": (20,)}, {"borrowed": 4}])
def test_options_that_contradict_each_other_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="must be below"):
        replace(TINY, **options).run(SETTING)


def test_the_yaml_holds_all_options_at_their_defaults() -> None:
    options = yaml.safe_load((conf_dir() / "study" / "feature_learning.yaml").read_text())
    problems: list[str] = []
    assert STUDIES.check(options, problems) == {"name": "feature_learning"} | STUDIES.defaults("feature_learning")
    assert not problems
    assert options.keys() == {"name"} | {field.name for field in fields(FeatureLearning)}
