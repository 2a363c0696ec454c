"""Configuration: every YAML composes and trains, the paper's values, types and ranges, names and choices."""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import made_up
import pytest
import yaml

from l2m import RunConfig, UserError, compose, train
from l2m.catalog import registries
from l2m.config.checking import check
from l2m.config.choices import GROUPS
from l2m.config.composing import compose_sweep
from l2m.config.user_folders import conf_dir
from l2m.paper.studies import STUDIES
from l2m.registry import Registry
from l2m.schema import Range, coerce, type_name

FOUND = {
    "dataset": 22, "experiment": 32, "imbalance": 12, "mixing": 4, "model": 9, "optimizer": 3, "strategy": 16,
    "study": 5, "logger": 4, "hydra/launcher": 3, "hydra/sweeper": 1,
}  # fmt: skip
"""How many YAML files each group has."""

BESIDE = ("logger", "hydra/launcher", "hydra/sweeper")
"""Groups that say nothing of what is trained; ``test_loggers.py`` and ``test_launchers.py`` try theirs."""

OPTIONS = [
    (group, file.stem)
    for group in sorted(FOUND)
    if group not in BESIDE
    for file in sorted((conf_dir() / group).glob("*.yaml"))
]
TRAINED = [each for each in OPTIONS if each[0] != "study" and each != ("experiment", "tune")]
"""Those whose runs can be composed one by one; a search chooses its values as it goes."""


def choice(group: str, name: str) -> dict[str, Any]:
    """A YAML's own text: a name and options, without what it overrides elsewhere."""
    node = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
    return dict(node.get(group, node))


CHOICES = [(group, name, choice(group, name)) for group, name in OPTIONS if group != "experiment"]


def test_all_yaml_files_are_found() -> None:
    groups = Counter(str(file.parent.relative_to(conf_dir())) for file in conf_dir().glob("*/**/*.yaml"))
    assert groups == FOUND


def test_every_registered_name_has_a_yaml() -> None:
    for group in GROUPS:
        offered = {options["name"] for g, _, options in CHOICES if g == group}
        assert offered == set(registries()[group].names()), group
    assert {name for group, name in OPTIONS if group == "study"} == set(STUDIES.names())


@pytest.mark.parametrize(("group", "name", "options"), CHOICES)
def test_options_of_a_yaml_are_those_of_its_entry(group: str, name: str, options: dict[str, Any]) -> None:
    registry = (registries() | {"study": STUDIES})[group]
    parameters = inspect.signature(registry[options["name"]]).parameters
    known = {key for key, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert options.keys() - {"name"} <= known
    if name == options["name"]:
        assert options.keys() - {"name"} == known, "the command line changes only what the YAML lists"
        for key, default in registry.defaults(name).items():
            if default is None:
                assert options[key] is None
            elif not str(options[key]).startswith("${"):
                # YAML 1.1 reads 1e-8 as text, Hydra as a number, and neither knows tuples
                assert type(default)(options[key]) == default, "identity() leaves defaults out"


OWN = {
    "csv": ("dataset.path={data}/own/table.csv", "dataset.target=outcome"),
    "image_folder": ("dataset.path={data}/own/images", "dataset.resize=16"),
    "hugging_face": ("dataset.path={data}/own/texts.jsonl",),
    "hugging_face_images": ("dataset.path={data}/own/images", "dataset.resize=16"),
    "hugging_face_table": ("dataset.path={data}/own/table.csv", "dataset.label=outcome"),
}
"""Where the files of a person's own data lie, under ``tiny_data``, and what they hold."""


def light(dataset: str) -> tuple[str, ...]:
    """A data set, and a model that takes less time than ResNet-18."""
    return f"dataset={dataset}", *(["model=mlp"] if dataset.startswith("imagenette") else [])


def combinations(group: str, name: str) -> list[tuple[str, ...]]:
    """Overrides that put a choice into runs that suit it; those of an experiment take up every value it sweeps."""
    if group == "dataset":
        return [(f"dataset={name}", *OWN.get(name, ()))]
    if group == "imbalance":
        needs = ("imbalance.groups=[0]", "imbalance.factor=0.5") if name == "step" else ()
        dataset = name if ("dataset", name) in OPTIONS else "mean_estimation"
        return [(*light(dataset), f"imbalance={name}", *needs)]
    if group == "experiment":
        node = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
        params = node["hydra"]["sweeper"]["params"] | {"seed": "0"}
        values = [[f"{key}={value}" for value in str(text).split(",")] for key, text in params.items()]
        sweep = [tuple(some[i % len(some)] for some in values) for i in range(max(map(len, values)))]
        return [
            (
                f"+experiment={name}",
                *overrides,
                *(light(dict(text.split("=") for text in overrides)["dataset"])[1:]),
                *(["strategy.warm_up=1"] if "strategy=curriculum" in overrides else []),
                *(["imbalance.factor=0.1"] if "imbalance.factor=0.01" in overrides else []),  # leaves none of twelve
            )
            for overrides in sweep
        ]
    suits = {
        "autoencoder": "mnist_reconstruction", "transformer": "imdb", "resnet18": "cifar10", "mobilenet_v3": "cifar10",
        "timm": "cifar10",
    }  # fmt: skip
    return [(f"dataset={suits.get(name, 'mnist')}", f"{group}={name}")]


def test_experiments_sweep_over_choices_that_there_are() -> None:
    swept = [
        override.partition("=")
        for group, name in TRAINED
        if group == "experiment"
        for overrides in combinations(group, name)
        for override in overrides[1:]
    ]
    assert {"dataset", "strategy", "seed"} <= {key for key, _, _ in swept}
    for key, _, value in swept:
        assert key not in FOUND or (key, value) in OPTIONS


def test_a_search_is_a_command() -> None:
    with pytest.raises(UserError, match="hydra/sweeper=optuna searches for values: use the command"):
        compose_sweep("+experiment=tune", "dataset=digits")


@pytest.mark.parametrize(("group", "name"), TRAINED)
def test_every_yaml_composes_and_trains_an_epoch(tiny_data: Path, tmp_path: Path, group: str, name: str) -> None:
    if name == "timm" and find_spec("timm") is None:
        pytest.skip("needs the extra pretrained")
    small = ("epochs=1", "batch_size=10", "device=cpu", f"data_dir={tiny_data}", f"results_dir={tmp_path}")
    for overrides in combinations(group, name):
        ((config, _),), _ = compose_sweep(*(each.replace("{data}", str(tiny_data)) for each in overrides), *small)
        assert isinstance(config, RunConfig)
        assert check(config.to_dict()) == config, "config.yaml describes the run whole"
    if group != "experiment":  # whose data sets, strategies and models train by themselves
        assert_trains(config)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for group, name in TRAINED if group == "experiment"])
def test_every_combination_of_an_experiment_trains(tiny_data: Path, tmp_path: Path, name: str) -> None:
    small = ("epochs=1", "batch_size=10", "device=cpu", f"data_dir={tiny_data}", f"results_dir={tmp_path}")
    for overrides in combinations("experiment", name):
        ((config, _),), _ = compose_sweep(*overrides, *small)
        assert_trains(config)


def assert_trains(config: RunConfig) -> None:
    records = train(config)
    assert records.info["status"] == "done"
    assert records.metrics["epoch"].tolist() == [1] or config.equal_seconds
    assert records.metrics["test_loss"].notna().all()


# Table 3 of the paper, with the epochs of section 4 (PAPER.md, section 2): E, M, lr, mixing rate, and the model
TABLE_3 = {
    "mnist": (60, 1000, 1e-5, 0.1, "lenet5"),
    "fashion_mnist": (70, 1000, 5e-6, 0.5, "lenet5"),
    "cifar10": (125, 1000, 7e-5, 0.1, "lenet5_large"),  # the rate of the third version and of the code
    "imagenette": (60, 100, 1e-6, 0.1, "resnet18"),
    "imagenette_v1": (60, 100, 1e-6, 0.1, "resnet18"),
    "cifar100": (120, 5000, 1e-4, 0.5, "lenet5_large"),
    "cifar100_v1": (80, 5000, 1e-4, 0.5, "lenet5_large"),
    "mnist_v3": (60, 1000, 1e-4, 0.1, "lenet5"),
    "fashion_mnist_v3": (70, 1000, 1e-4, 0.5, "lenet5"),
    "imdb": (40, 500, 1e-4, 0.1, "transformer"),
    "mean_estimation": (500, 500, 5e-5, 0.01, "mlp"),
    "wine_quality": (300, 100, 1e-4, 0.05, "mlp"),
    "california_housing": (1200, 1000, 5e-5, 0.01, "mlp"),
    "mnist_reconstruction": (40, 1000, 5e-4, 0.1, "autoencoder"),
    "fashion_mnist_reconstruction": (70, 1000, 1e-5, 0.1, "autoencoder"),
    "cifar10_reconstruction": (110, 1000, 1e-5, 0.1, "autoencoder"),
}


@pytest.mark.parametrize("dataset", TABLE_3)
def test_rows_are_the_papers(dataset: str) -> None:
    config = compose(f"dataset={dataset}", "strategy=learn2mix")
    row = (config.epochs, config.batch_size, config.learning_rate, config.strategy["mixing_rate"])
    assert (*row, config.model["name"]) == TABLE_3[dataset]
    assert config.optimizer == {"name": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    assert config.strategy["cadence"] == "epoch_mean"
    assert (config.seed, config.data_seed, config.precision) == (0, 42, "fp32")


def test_recipes_of_the_rows_are_the_papers() -> None:
    wine, housing = compose("dataset=wine_quality").imbalance, compose("dataset=california_housing").imbalance
    assert wine == {"name": "step", "groups": (0,), "factor": 0.1, "keep": "first"}
    assert housing == {"name": "step", "groups": (0, 2, 3), "factor": 0.05, "keep": "first"}
    for dataset, recipe in (
        ("imagenette", {"name": "linear", "slope": 0.1}),
        ("imagenette_v1", {"name": "step", "groups": (5, 6, 7, 8, 9), "factor": 0.1}),
        ("cifar100", {"name": "logarithmic", "ratio": 40.0}),
        ("cifar100_v1", {"name": "step", "groups": tuple(range(50)), "factor": 0.05}),
    ):
        assert compose(f"dataset={dataset}").imbalance == {**recipe, "keep": "random"}
    for dataset in ("mnist", "fashion_mnist"):
        recipe = compose(f"dataset={dataset}_reconstruction").imbalance
        assert recipe == {"name": "step", "groups": (5, 6, 7, 8, 9), "factor": 0.2, "keep": "random"}
    recipe = compose("dataset=cifar10_reconstruction").imbalance
    assert recipe == {"name": "step", "groups": (0, 1, 2, 3, 6, 7, 8, 9), "factor": 0.1, "keep": "random"}
    imdb = compose("dataset=imdb").imbalance
    assert imdb == {"name": "step", "groups": (0,), "factor": 0.3, "keep": "random"}
    for dataset in ("mnist", "fashion_mnist", "cifar10", "mean_estimation"):
        assert compose(f"dataset={dataset}").imbalance["name"] == "none"


def test_paper_settings_of_focal() -> None:
    focal = compose("dataset=mnist", "strategy=focal").strategy
    assert focal == {"name": "focal", "focusing": 2.0, "weight_inside": False}


def test_command_line_wins_over_the_row() -> None:
    config = compose(
        "epochs=3", "batch_size=7", "learning_rate=0.5", "strategy.mixing_rate=0.25", "model=lenet5",
        "imbalance=linear", "dataset=mnist",
    )  # fmt: skip
    assert (config.epochs, config.batch_size, config.learning_rate) == (3, 7, 0.5)
    assert config.strategy["mixing_rate"] == 0.25
    assert compose("dataset=mnist", "model=mlp").model["name"] == "mlp"
    assert compose("dataset=wine_quality", "imbalance=none").imbalance["name"] == "none"
    assert compose("imbalance=none", "dataset=wine_quality").imbalance["name"] == "none", "in any order"


def test_default_is_mean_estimation_with_learn2mix() -> None:
    config = compose()
    assert (config.dataset["name"], config.strategy["name"]) == ("mean_estimation", "learn2mix")


def test_data_dir_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("L2M_DATA_DIR", raising=False)
    assert compose().data_dir == "data"
    monkeypatch.setenv("L2M_DATA_DIR", "/elsewhere")
    assert compose().data_dir == "/elsewhere"
    assert compose("data_dir=here").data_dir == "here"


def test_what_the_tests_compose_once_is_what_is_composed() -> None:
    overrides = ("dataset=digits", "seed=7", "results_dir=/some/where", "data_dir=/else")
    for _ in range(2):
        assert made_up.compose(*overrides) == compose(*overrides)
    assert made_up.compose(*overrides[:2]) == compose(*overrides[:2])


# Identity


def test_identity_is_science_alone() -> None:
    plain = compose()
    same = compose("device=cpu", "threads=1", "data_dir=x", "results_dir=y", "force=true", "debug=true")
    assert same.digest() == plain.digest()
    changes = ["seed=1", "data_seed=1", "epochs=501", "batch_size=499", "learning_rate=1e-3", "precision=bf16",
               "model.hidden=65", "strategy=balanced", "strategy.mixing_rate=0.02", "imbalance=linear",
               "optimizer.beta1=0.8", "dataset.test_size=999", "validation_fraction=0.2"]  # fmt: skip
    digests = {plain.digest(), *(compose(change).digest() for change in changes)}
    assert len(digests) == 1 + len(changes)


def test_an_option_that_is_called_as_one_of_data_is_part_of_the_identity() -> None:
    config = compose("dataset=digits")
    own = replace(config, strategy=config.strategy | {"storage": "mapped"})
    assert own.identity()["strategy"]["storage"] == "mapped"
    assert replace(config, dataset=config.dataset | {"storage": "mapped"}).digest() == config.digest()


def test_identity_leaves_defaults_out_and_is_the_same_however_it_was_written() -> None:
    assert compose("dataset.test_size=1000").digest() == compose().digest()
    assert compose("imbalance=linear", "imbalance.slope=0.1").digest() == compose("imbalance=linear").digest()
    assert compose("epochs=1e2").digest() == compose("epochs=100").digest()
    assert compose("model.hidden=64").identity()["model"] == {"name": "mlp"}


# Errors


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(UserError) as caught:
        compose("seed=-1", "epochs=0", "learning_rate=nan", "strategy.mixing_rate=2", "model.hidden=x")
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    for start in ("seed=-1 ", "epochs=0 ", "learning_rate=nan ", "strategy.mixing_rate=2 ", "model.hidden=x "):
        assert sum(line.startswith(start) for line in lines) == 1, start


def test_two_wrong_keys_give_two_lines() -> None:
    with pytest.raises(UserError) as caught:
        compose("+epoch=3", "+lr=0.1")
    lines = sorted(str(caught.value).splitlines())
    assert len(lines) == 2
    assert lines[0].startswith("key epoch is not known (did you mean epochs?)")
    assert lines[1].startswith("key lr is not known (did you mean learning_rate?)")
    assert all("choose one of " in line for line in lines), "the nearest choices are listed"


def test_every_missing_value_is_reported() -> None:
    with pytest.raises(UserError) as caught:
        compose("imbalance=step")
    assert sorted(line.split()[0] for line in str(caught.value).splitlines()) == [
        "imbalance.factor",
        "imbalance.groups",
    ]


def test_check_without_hydra() -> None:
    raw = compose().to_dict()
    for key in ("seed", "device", "data_seed"):
        del raw[key]
    assert check(raw) == compose()
    with pytest.raises(UserError) as caught:
        check({key: value for key, value in raw.items() if key not in ("epochs", "model")} | {"strategy": "focal"})
    assert sorted(line.split()[0] for line in str(caught.value).splitlines()) == ["epochs", "model", "strategy=focal"]
    with pytest.raises(UserError, match=r"imbalance\.groups has no value: imbalance=step needs one"):
        check(raw | {"imbalance": {"name": "step", "factor": 0.5}})
    with pytest.raises(UserError, match=r"model\.depth is not an option of model=mlp: its options are hidden"):
        check(raw | {"model": {"name": "mlp", "depth": 2}})


def test_run_config_is_frozen_and_complete() -> None:
    config = compose()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]
    assert {*config.to_dict(), "command", "tags", "notes"} == {field.name for field in dataclasses.fields(RunConfig)}


# Schema

Whole = Annotated[int, Range(1)]
Open = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (True, bool, True),
        (3, int, 3),
        (3.0, int, 3),
        (-2, int, -2),
        (3, float, 3.0),
        (1e-300, float, 1e-300),
        ("x", str, "x"),
        ("b", Literal["a", "b"], "b"),
        (None, int | None, None),
        (4, int | None, 4),
        (None, Annotated[Whole | None, "a note"], None),
        (2, Annotated[Whole | None, "a note"], 2),
        ([1, 2.0], tuple[int, ...], (1, 2)),
        ((), tuple[Whole, ...], ()),
        (1, Whole, 1),
        (1e-9, Open, 1e-9),
        (0, Share, 0.0),
        (1, Share, 1.0),
        (0.5, Annotated[Share, "a note"], 0.5),
    ],
)
def test_coerce_takes(value: Any, annotation: Any, expected: Any) -> None:
    result = coerce(value, annotation)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "rule"),
    [
        (1, bool, "must be true or false"),
        ("true", bool, "must be true or false"),
        (None, bool, "must be true or false"),
        (1.5, int, "must be a whole number"),
        ("1", int, "must be a whole number"),
        (True, int, "must be a whole number"),
        (None, int, "must be a whole number"),
        (float("nan"), int, "must be a whole number"),
        (float("inf"), int, "must be a whole number"),
        ([1], int, "must be a whole number"),
        (float("nan"), float, "must be a finite number"),
        (float("-inf"), float, "must be a finite number"),
        ("0.1", float, "must be a finite number"),
        (False, float, "must be a finite number"),
        (None, float, "must be a finite number"),
        (True, str, "must be text"),
        ("", str, "must be text"),
        (None, str, "must be text"),
        ("c", Literal["a", "b"], "must be one of a, b"),
        (["a"], Literal["a", "b"], "must be one of a, b"),
        ("x", int | None, "must be a whole number"),
        (1, tuple[int, ...], "must be a list, like [0,1]"),
        ("01", tuple[int, ...], "must be a list, like [0,1]"),
        ([1, "x"], tuple[int, ...], "must be a whole number"),
        ([1, 0], tuple[Whole, ...], "must be at least 1"),
        (0, Whole, "must be at least 1"),
        (0, Annotated[Whole | None, "a note"], "must be at least 1"),
        (0, Open, "must be above 0"),
        (-1e-300, Share, "must be in [0, 1]"),
        (1.0000001, Share, "must be in [0, 1]"),
        (0, Annotated[float, Range(0, 1, above=True)], "must be in (0, 1]"),
        (2**31, Annotated[int, Range(0, 2**31 - 1)], "must be in [0, 2147483647]"),
    ],
)
def test_coerce_refuses(value: Any, annotation: Any, rule: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        coerce(value, annotation)
    assert str(caught.value) == rule


def test_coerce_knows_its_annotations() -> None:
    with pytest.raises(TypeError, match="is not supported"):
        coerce({}, dict)


def test_types_in_words() -> None:
    assert type_name(Annotated[Whole | None, "a note"]) == "int, at least 1 or null"
    assert type_name(Share) == "float, in [0, 1]"
    assert type_name(Literal["a", "b"]) == "a or b"


# Registry


def test_registry_refuses_a_name_that_is_taken() -> None:
    registry: Registry[Any] = Registry("strategy")
    registry.register("one")(int)
    with pytest.raises(ValueError, match="strategy one is already registered by <class 'int'>"):
        registry.register("one")(float)
    assert registry["one"] is int


def test_registry_lists_the_choices_with_a_near_match() -> None:
    strategies = registries()["strategy"]
    with pytest.raises(UserError) as caught:
        strategies["learn2mx"]
    assert "strategy=learn2mx is not known (did you mean learn2mix?)" in str(caught.value)
    with pytest.raises(UserError, match=r"dataset=wine is not known \(did you mean wine_quality\?\)"):
        compose("dataset=wine")
    assert "class_weighted" not in str(caught.value), "of many, those that are most like it are listed"
    assert str(caught.value).endswith(f" and {len(strategies.names()) - 8} more, which --help lists")
    with pytest.raises(UserError) as caught:
        strategies["zzz"]
    assert "did you mean" not in str(caught.value)


def test_registry_fills_in_defaults_and_builds() -> None:
    registry: Registry[Any] = Registry("model")

    @registry.register("toy")
    def toy(data: int, *, size: Whole, rate: Share = 0.5) -> tuple[int, int, float]:
        return data, size, rate

    problems: list[str] = []
    checked = registry.check({"name": "toy", "size": 3}, problems)
    assert (checked, problems) == ({"name": "toy", "size": 3, "rate": 0.5}, [])
    assert registry.build(checked, 7) == (7, 3, 0.5)
    assert registry.defaults("toy") == {"rate": 0.5}
    registry.check({"name": "toy", "rate": 2, "colour": "red"}, problems)
    assert sorted(problem.split()[0] for problem in problems) == ["model.colour", "model.rate=2", "model.size"]


def test_names_are_plain_words() -> None:
    for group, registry in registries().items():
        assert registry.names(), group
        for name in registry.names():
            assert name.isidentifier()
            assert name == name.lower()
