"""The configuration of a comparison: its keys, and the strategies that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from l2m.config.checking import check, check_fields
from l2m.config.choices import GROUPS, registries
from l2m.config.composing import available, compose_with
from l2m.config.run import LATER_KEYS, METRICS, MOST_SEED, Count, Metric, RunConfig, short_hash
from l2m.errors import UserError
from l2m.registry import describe_unknown
from l2m.schema import Range

BASELINE = "classical"

EXPENSIVE = ("bilevel", "pike")
"""Strategies that are compared only if they are named: their steps cost several times as much."""

Rate = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]


@dataclass(frozen=True, kw_only=True)
class CompareConfig(RunConfig):
    """A run's keys and a comparison's own. The text beside a field is what ``--help`` prints."""

    strategies: Annotated[
        tuple[str, ...] | None,
        "which to compare, such as [learn2mix,balanced]; classical is always included; null is all that suit the task "
        f"except {' and '.join(EXPENSIVE)}, whose steps cost several times as much. The more there are, "
        "the harder they are to distinguish",
    ] = None
    opponents: Annotated[
        tuple[str, ...] | None,
        "rows without training of ours: classical with a moved threshold and, for inputs that are vectors, models of "
        "scikit-learn, such as [classical_by_prior,boosted_trees]; null is all that suit the data, [] none",
    ] = None
    metric: Annotated[
        Metric | None,
        "the score that chooses rates and epochs and ranks strategies; null is balanced_accuracy or mean_squared_error",
    ] = None
    seeds: Annotated[int, Range(2), "runs of each strategy on the whole training set, from seed on"] = 5
    splits: Annotated[
        Count, "splits into training and test part to repeat it all on, from data_seed on, so that intervals cover them"
    ] = 1
    held_out_parts: Annotated[
        int, Range(2), "parts of the training set that are held out in turn, a run each, for the advice"
    ] = 5
    choose: Annotated[bool, "choose rates and epochs on a validation part first; false takes those of the data set"] = (
        True
    )
    early_stopping: Annotated[
        Count | None,
        "end a run of choosing after so many epochs without a better score, to choose epochs: the median best epoch is "
        "trained later. null: all epochs, always",
    ] = 20
    choice_seeds: Annotated[Count, "runs of each choice of rates, from seed on"] = 2
    learning_rates: Annotated[
        tuple[Rate, ...] | None, "to choose among; null is a third, once and three times learning_rate"
    ] = None
    mixing_rates: Annotated[
        tuple[Share, ...] | None,
        "to choose among, with each learning rate, for strategies that have one; the others get as many more learning "
        "rates instead. null is a third, once and three times that of the data set",
    ] = None
    validation_fraction: Annotated[
        float,
        Range(0, 1, above=True, below=True),
        "the share of each group of the training set in a held-out part; rates are chosen on the first part",
    ] = 0.2


OWN = {field.name for field in fields(CompareConfig)} - {field.name for field in fields(RunConfig)}

OF_RUN = {"validation_part": "held_out_parts of them", "early_stopping_fraction": "validation_fraction for both"}
"""Keys of a run that a comparison does not take, with what it takes instead."""

CHANGED = {*OWN, "seed", "data_seed", "epochs", "learning_rate", "validation_fraction", "validation_part"}
CHANGED |= {"early_stopping", "early_stopping_metric"}
"""Keys whose values differ from run to run."""


@dataclass(frozen=True)
class Comparison:
    """A checked comparison.

    Attributes:
        bases: by strategy, classical first, its run of the first seed at the data set's rates, which is tested on the
            validation part, and stops early by it.
    """

    options: CompareConfig
    bases: Mapping[str, RunConfig]

    @property
    def path(self) -> Path:
        """The directory of its results: the data set's name, and eight digits for everything that may change them."""
        own = {key: getattr(self.options, key) for key in sorted(OWN)}
        identity = {"runs": {name: base.identity() for name, base in self.bases.items()}, **own}
        name = f"{self.options.dataset['name']}-{short_hash(identity)}"
        return Path(self.options.results_dir) / "comparisons" / name


def choice_metric(name: str, options: CompareConfig) -> str:
    """The score that chooses the rates and epochs of a model: ``metric``, or log loss if its threshold is moved."""
    from l2m.comparison.thresholds import moved_rows
    from l2m.training.scores import SCORES

    metric = str(options.metric)
    return "log_loss" if SCORES[options.task][metric].by_label and moved_rows(name, options.opponents) else metric


def check_comparison(raw: Mapping[str, Any]) -> Comparison:
    """A comparison from plain values; a UserError has every problem, a line each."""
    from l2m.comparison.opponents import OPPONENTS
    from l2m.comparison.thresholds import moved_rows

    problems: list[str] = []
    choices, raw = registries(), {key: value for key, value in raw.items() if key != "row"}
    values = check_fields(CompareConfig, {group: choices[group] for group in GROUPS}, raw, problems)
    task, strategy = values.get("dataset", {}).get("task"), raw.get("strategy", {})
    if (name := strategy.get("name")) != BASELINE:
        problems.append(f"strategy={name} names one: a comparison takes several, strategies=[classical,{name}]")
    elif strategy != {"name": BASELINE, "batches": "shuffled"}:
        given = " ".join(f"strategy.{key}={value}" for key, value in strategy.items() if key != "name")
        problems.append(
            f"{given} is for run: a comparison takes strategies without options, as strategies=[stratified]"
        )
    if task in METRICS and values.get("metric") is None:
        values["metric"] = METRICS[task][0]
    elif task in METRICS and values["metric"] not in METRICS[task]:
        problems.append(f"metric={values['metric']} is not for {task}: choose one of {', '.join(METRICS[task])}")
    for key, instead in OF_RUN.items():
        if values.get(key, LATER_KEYS[key]) != LATER_KEYS[key]:
            problems.append(f"{key}={values[key]} is for run: a comparison takes {instead}")
    if values.get("schedule") == "cosine" and values.get("early_stopping") and values.get("choose"):
        problems.append("schedule=cosine ends with the last epoch, which is to be chosen: add early_stopping=null")
    names = available("strategy")
    requested = values.get("strategies")
    problems += [describe_unknown("strategies", name, names) for name in requested or () if name not in names]
    rivals = list(OPPONENTS.get(str(task), ()))
    rivals += [row for name in (BASELINE, *rivals) for row in moved_rows(name) if task == "classification"]
    wanted = values.get("opponents") or ()
    problems += [describe_unknown("opponents", name, rivals) for name in wanted if name not in rivals]
    empty = [key for key in ("learning_rates", "mixing_rates") if values.get(key) == ()]
    problems += [f"{key}=[] needs at least one rate" for key in empty]
    if problems:
        raise UserError("\n".join(problems))
    options, bases = CompareConfig(**values), {}
    seeds, splits = max(options.seeds, options.choice_seeds, options.held_out_parts), options.splits
    for key, first, count in (("seed", options.seed, seeds), ("data_seed", options.data_seed, splits)):
        if first + count - 1 > MOST_SEED:
            raise UserError(
                f"{key}={first} and the {count - 1} after it must be at most {MOST_SEED}: choose a lower {key}"
            )
    compared = [name for name in names if name not in EXPENSIVE] if requested is None else requested
    for name in dict.fromkeys((BASELINE, *compared)):
        run = {key: value for key, value in compose_with(f"strategy={name}").items() if key not in OWN}
        if name in (requested or ()) or task in choices["strategy"][run["strategy"]["name"]].tasks:
            if options.early_stopping and not options.early_stopping_metric:
                run["early_stopping_metric"] = choice_metric(name, options)
            bases[name] = check(run)
    if len(bases) < 2 and values.get("opponents") == ():
        raise UserError(
            "strategies=[classical] and opponents=[] leave nothing to compare: name another, as strategies=[learn2mix]"
        )
    return Comparison(options, bases)
