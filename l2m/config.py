"""What a run is made of: one dataclass, checked whole before any data is read. Imports neither torch nor Hydra."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import yaml

from l2m.errors import UserError
from l2m.files import read_text
from l2m.registry import Registry, unknown
from l2m.schema import Pattern, Range, coerce

Choice = dict[str, Any]
"""A group's choice: its ``name`` and the options of what it names."""

GROUPS = ("dataset", "imbalance", "model", "strategy", "optimizer", "mixing")

UNMIXED = {"name": "none"}
"""The choice of ``mixing`` that is not part of an identity: runs were known by theirs before there was another."""

Seed = Annotated[int, Range(0, 2**31 - 1)]
Count = Annotated[int, Range(1)]
Threads = Annotated[int, Range(1, 1024)]
Device = Annotated[str, Pattern(r"auto|cpu|cuda(:\d+)?|mps", "one of auto, cpu, cuda, cuda:N")]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run. The text beside a field is what ``--help`` prints."""

    dataset: Choice
    imbalance: Choice
    model: Choice
    strategy: Choice
    optimizer: Choice
    mixing: Choice = field(default_factory=UNMIXED.copy)
    epochs: Annotated[Count, "passes of P = floor(N / batch_size) steps each; Table 3's come with the data set"]
    batch_size: Annotated[Count, "samples a step (M in the paper), at most the size of the training set"]
    learning_rate: Annotated[float, Range(0, above=True), "the optimizer's step size (eta in the paper)"]
    schedule: Annotated[
        Literal["constant", "cosine"],
        "how the learning rate goes: it stays, or falls to 0 along half a cosine, a step an epoch",
    ] = "constant"
    seed: Annotated[Seed, "draws initial parameters and the order of samples"] = 0
    data_seed: Annotated[Seed, "draws synthetic data, splits and imbalance, the same for all runs"] = 42
    validation_fraction: Annotated[
        float,
        Range(0, 1, below=True),
        "hold out this share of each group of the training set, drawn by data_seed, and test on it, not on the test "
        "set, which then can judge what was chosen by such runs",
    ] = 0.0
    equal_seconds: Annotated[
        bool,
        "train as long as classical training takes for these epochs, which is measured first, here",
    ] = False
    checkpoint_seconds: Annotated[
        float, Range(0), "write a checkpoint at most this often, between two epochs; 0 is after each"
    ] = 60.0
    precision: Annotated[
        Literal["fp32", "tf32", "bf16"],
        "arithmetic: all in fp32; products on a GPU in TF32, on a CPU as fp32; or the forward pass in bf16",
    ] = "fp32"
    cuda_graphs: Annotated[
        bool,
        "on a GPU launch each step whole, as a CUDA graph, not kernel by kernel: for small networks; it does nothing "
        "with mixing, a rate that falls, or a strategy or optimizer that is not replayable",
    ] = False
    device: Annotated[Device, "where to train; auto takes a GPU if there is one, cuda:1 is the second one"] = "auto"
    logger: Annotated[
        dict[str, Any], "trackers that follow the run, beside its records, by name; several as logger=[mlflow,wandb]"
    ] = field(default_factory=dict)
    threads: Annotated[
        Threads | None, "CPU threads of one run; the default comes with the data set, null is torch's"
    ] = None
    workers: Annotated[
        Threads | None, "runs of a sweep side by side; default: one a core; on GPUs one each, or 2 to 4 small ones"
    ] = None
    data_dir: Annotated[str, "where data sets lie; the default is L2M_DATA_DIR, or data"] = "data"
    results_dir: Annotated[str, "where records are written, under runs/"] = "outputs"
    dry_run: Annotated[bool, "print the plan, how many runs are done and to do, and train nothing"] = False
    force: Annotated[bool, "run again, and overwrite, what is finished"] = False
    debug: Annotated[bool, "show the traceback of an error"] = False

    @property
    def task(self) -> str:
        """The data set's task: classification, regression or reconstruction."""
        return str(self.dataset["task"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``config.yaml`` holds them; tuples are lists."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def identity(self) -> dict[str, Any]:
        """What makes this run this run: everything that may change its numbers, and nothing else.

        An option that stands at its default is left out, so that a later version may add options without
        orphaning the records there are. It follows that a default is never changed. What gives other numbers than it
        did under the same options has another revision in its registry.
        """
        from l2m.catalog import registries

        known, plain = registries(), self.to_dict()
        science = {key: plain[key] for key in ("seed", "data_seed", *SCIENTIFIC)}
        if self.equal_seconds:
            science["equal_seconds"] = True
        if self.schedule != "constant":
            science["schedule"] = self.schedule
        if self.validation_fraction:
            science["validation_fraction"] = self.validation_fraction
        for group in (group for group in GROUPS if (group, plain[group]) != ("mixing", UNMIXED)):
            defaults = json.loads(json.dumps(known[group].defaults(plain[group]["name"])))
            science[group] = {
                key: value
                for key, value in plain[group].items()
                if key == "name" or key not in defaults or defaults[key] != value
            }
            if (revision := known[group].revision(plain[group]["name"])) > 1:
                science[group]["revision"] = revision
        return science

    def digest(self) -> str:
        """Eight hexadecimal digits of the identity's SHA-256."""
        return short_hash(self.identity())


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C is ten times as fast, where PyYAML was built with it."""

LONGEST, DEEPEST = 50_000, 4
"""Characters and levels of a ``config.yaml``, far more than one needs: ours have 600 and 3."""

SCIENTIFIC = ("epochs", "batch_size", "learning_rate", "precision")


def short_hash(identity: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of the SHA-256 of plain values, in whatever order their keys are."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def checked(
    kind: type, known: Mapping[str, Registry[Any]], given: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """Typed values of the fields of ``kind``; those that are groups are checked by the registry of their name.

    What is wrong is appended to ``problems``, a sentence each, and has no value.
    """
    hints = get_type_hints(kind, include_extras=True)
    problems += [unknown("key", key, hints) for key in sorted(given.keys() - hints.keys(), key=str)]
    values: dict[str, Any] = {}
    for key in fields(kind):
        if key.name not in given:
            if key.default is MISSING and key.default_factory is MISSING:
                problems.append(f"{key.name} is missing: give it a value")
        elif key.name in known:
            choice = given[key.name]
            if isinstance(choice, Mapping):
                values[key.name] = known[key.name].check(choice, problems)
            else:
                problems.append(f"{key.name}={choice} must be a mapping with a name")
        else:
            try:
                values[key.name] = coerce(given[key.name], hints[key.name])
            except ValueError as rule:
                problems.append(f"{key.name}={given[key.name]} {rule}")
    return values


def check(raw: Mapping[str, Any]) -> RunConfig:
    """A :class:`RunConfig` from plain values, defaults filled in.

    ``raw`` holds the keys of :class:`RunConfig`; a group is a mapping with ``name`` and options. The key
    ``row``, where data sets keep the paper's settings for others to refer to, is dropped.

    Raises:
        UserError: everything that is wrong, a line each. No data has been read, nothing has been written.
    """
    from l2m import loggers
    from l2m.catalog import registries

    known = registries()
    problems: list[str] = []
    values = checked(RunConfig, known, {key: value for key, value in raw.items() if key != "row"}, problems)
    if "logger" in values:
        values["logger"] = loggers.check(values["logger"], problems)
    dataset, strategy = values.get("dataset", {}), values.get("strategy", {}).get("name")
    if "task" not in dataset and not problems:
        problems.append(
            f"dataset={dataset['name']} has no task: give its function the option task: Literal['classification']"
        )
    if strategy in known["strategy"].names() and "task" in dataset:
        tasks = known["strategy"][strategy].tasks
        if dataset["task"] not in tasks:
            problems.append(
                f"strategy={strategy} is not defined for {dataset['task']}, the task of "
                f"dataset={dataset['name']}: it is for {', '.join(sorted(tasks))}"
            )
    if values.get("schedule") == "cosine" and values.get("equal_seconds"):
        problems.append("schedule=cosine ends with the last epoch, which equal_seconds=true leaves open: drop one")
    if problems:
        raise UserError("\n".join(problems))
    return RunConfig(**values)


def read_config(file: Path) -> RunConfig:
    """The run that a ``config.yaml`` is of, whatever the device it was trained on, and without its loggers.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        text = read_text(file)
        _refuse_mazes(text, file.name)
        raw = yaml.load(text, LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{file.name} is no YAML{where}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{file.name} holds no configuration")
    return check({**raw, "device": "cpu", "logger": {}})


def _refuse_mazes(text: str, name: str) -> None:
    """Refuse a YAML whose parser, in C, would be at it for minutes or run out of stack."""
    depth = 0
    if len(text) > LONGEST:
        raise ValueError(f"{name} has {len(text)} characters, more than any configuration")
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
            raise ValueError(f"{name} refers to itself or is nested deeper than any configuration")


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What each of two identities has where they differ, as ``strategy.mixing_rate=0.1``."""
    flat = _flat(there), _flat(here)

    def told(key: str, values: Mapping[str, Any]) -> str:
        return f"{key}={values[key]}" if key in values else f"{key} at its default"

    return [
        (told(key, flat[0]), told(key, flat[1]))
        for key in sorted(flat[0].keys() | flat[1].keys())
        if flat[0].get(key) != flat[1].get(key)
    ]


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Groups' options as ``strategy.mixing_rate``, and ``strategy`` for the name."""
    flat = {key: value for key, value in identity.items() if not isinstance(value, Mapping)}
    for group in GROUPS:
        flat |= {group if key == "name" else f"{group}.{key}": value for key, value in identity.get(group, {}).items()}
    return flat
