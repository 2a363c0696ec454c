"""The configuration of a run and its identity. Imports neither torch nor Hydra."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, get_args

from l2m.config.choices import GROUPS, registries
from l2m.schema import Pattern, Range

Choice = dict[str, Any]
"""A group's choice: a ``name`` and its options."""

UNMIXED = {"name": "none"}
"""The choice of ``mixing`` that is left out of the identity: the first runs had no mixing."""

MOST_SEED = 2**31 - 1
Seed = Annotated[int, Range(0, MOST_SEED)]
Count = Annotated[int, Range(1)]
Threads = Annotated[int, Range(1, 1024)]
Device = Annotated[str, Pattern(r"auto|cpu|cuda(:(0|[1-9][0-9]?))?|mps", "one of auto, cpu, cuda, cuda:N")]


LabelMetric = Literal[
    "balanced_accuracy", "accuracy", "macro_f1", "g_mean", "mcc", "worst_group", "roc_auc", "pr_auc",
    "calibration_error", "brier", "log_loss",
]  # fmt: skip
ValueMetric = Literal["mean_squared_error", "mean_absolute_error", "worst_group"]
Metric = Literal[LabelMetric, ValueMetric]

METRICS: Mapping[str, tuple[str, ...]] = {
    "classification": get_args(LabelMetric),
    "regression": get_args(ValueMetric),
    "reconstruction": get_args(ValueMetric),
}
"""By task, the scores that can choose an epoch or rank strategies; the first is the default."""


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
        "constant learning rate, or one that falls to 0 along half a cosine, a step an epoch",
    ] = "constant"
    warmup_steps: Annotated[int, Range(0), "over so many first steps the learning rate rises from 0 in a line"] = 0
    max_gradient_norm: Annotated[
        float | None,
        Range(0, above=True),
        "gradients of a larger norm, over all parameters together, are scaled down to it; null: none are",
    ] = None
    seed: Annotated[Seed, "draws initial parameters and the order of samples"] = 0
    data_seed: Annotated[Seed, "draws synthetic data, splits and imbalance, the same for all runs"] = 42
    validation_fraction: Annotated[
        float,
        Range(0, 1, below=True),
        "test on this share of each group of the training set, held out and drawn by data_seed, instead of the test "
        "set, so that the test set can judge what you choose with such runs",
    ] = 0.0
    early_stopping: Annotated[
        Count | None,
        "end the run after so many epochs without a better metric on a held-out part of the training set, and keep the "
        "best epoch's parameters; epochs is then the most there can be. null: train all of them",
    ] = None
    early_stopping_metric: Annotated[
        Metric | None, "that metric; null is balanced_accuracy, or mean_squared_error where there are no classes"
    ] = None
    early_stopping_fraction: Annotated[
        float,
        Range(0, 1, above=True, below=True),
        "the share of each group that this part has, drawn by data_seed; a validation_fraction holds out for both",
    ] = 0.2
    validation_part: Annotated[
        int, Range(0), "which samples are held out: parts 0, 1, ... have none in common until all were held out once"
    ] = 0
    equal_seconds: Annotated[
        bool, "train for as many seconds as classical training takes for these epochs, which is measured first"
    ] = False
    checkpoint_seconds: Annotated[
        float, Range(0), "write a checkpoint after an epoch if the last is this many seconds old; 0 is after each epoch"
    ] = 60.0
    precision: Annotated[
        Literal["fp32", "tf32", "bf16"],
        "arithmetic: fp32; tf32 in matrix products on a GPU (fp32 on a CPU); or bf16 in the forward pass",
    ] = "fp32"
    cuda_graphs: Annotated[
        bool,
        "on a GPU launch each step as one CUDA graph instead of kernel by kernel, for small networks; no effect with "
        "mixing, augmentation, schedule=cosine, warmup_steps, or a strategy or optimizer that is not replayable",
    ] = False
    device: Annotated[Device, "where to train; auto takes a GPU if there is one, cuda:1 is the second GPU"] = "auto"
    logger: Annotated[
        dict[str, Any], "trackers that log the run besides its records, by name; several as logger=[mlflow,wandb]"
    ] = field(default_factory=dict)
    threads: Annotated[
        Threads | None, "CPU threads of one run; the default comes with the data set, null is torch's default"
    ] = None
    workers: Annotated[
        Threads | None, "parallel runs of a sweep; default: one a core; on GPUs one each, or 2 to 4 small ones"
    ] = None
    together: Annotated[
        Count | None,
        "runs of a sweep that train in one process as one stacked model, at most; null: as many as are fast, of fully "
        "connected networks; 1: each alone, and a CPU then repeats a run to the byte",
    ] = None
    data_dir: Annotated[str, "directory of the data sets; the default is L2M_DATA_DIR, or data"] = "data"
    results_dir: Annotated[str, "directory of the records, which are written under runs/"] = "outputs"
    dry_run: Annotated[bool, "print how many runs are done and to do, and train nothing"] = False
    force: Annotated[bool, "repeat finished runs and overwrite their records"] = False
    tags: Annotated[tuple[str, ...], "words to find the run by, in its config.yaml and in trackers: [pilot,small]"] = ()
    notes: Annotated[str | None, "a sentence on the run, likewise"] = None
    debug: Annotated[bool, "show the traceback of an error"] = False
    command: str | None = None
    """The command line that repeats the run, for ``run.json``: no key, but set by ``python -m l2m.run``."""

    @property
    def task(self) -> str:
        """The data set's task: classification, regression or reconstruction."""
        return str(self.dataset["task"])

    @property
    def held_out(self) -> tuple[str, float, int]:
        """The key that says which share of the training set is held out, the share, 0 for none, and which part."""
        early = self.early_stopping is not None and not self.validation_fraction
        key = "early_stopping_fraction" if early else "validation_fraction"
        return key, getattr(self, key), self.validation_part

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``config.yaml`` holds them; tuples are lists."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        left_out = {"command", *(key for key in ("tags", "notes") if not plain[key])}  # most runs have neither
        return {key: value for key, value in plain.items() if key not in left_out}

    def identity(self) -> dict[str, Any]:
        """Everything that may change the run's numbers, and nothing else: not where a data set is stored.

        Options at their default are left out, so that a later version may add options without orphaning existing
        records. Therefore a default never changes. An entry that gives other numbers than before under the same
        options gets a new revision in its registry.
        """
        registry, plain = registries(), self.to_dict()
        science = {key: plain[key] for key in SCIENTIFIC}
        science |= {key: plain[key] for key, default in LATER_KEYS.items() if plain[key] != default}
        if plain["dataset"].get("group") and self.held_out[1]:
            science["held_out"] = "by group and class"  # the first were drawn by group alone
        for group in (group for group in GROUPS if (group, plain[group]) != ("mixing", UNMIXED)):
            defaults = json.loads(json.dumps(registry[group].defaults(plain[group]["name"])))
            science[group] = {
                key: value
                for key, value in plain[group].items()
                if (group, key) != ("dataset", "storage")
                and (key == "name" or key not in defaults or defaults[key] != value)
            }
            if (revision := registry[group].revision(plain[group]["name"])) > 1:
                science[group]["revision"] = revision
        return science

    def digest(self) -> str:
        """Eight hexadecimal digits of the identity's SHA-256."""
        return short_hash(self.identity())


SCIENTIFIC = ("seed", "data_seed", "epochs", "batch_size", "learning_rate", "precision")

LATER_KEYS = {
    "equal_seconds": False, "schedule": "constant", "validation_fraction": 0.0, "validation_part": 0,
    "early_stopping": None, "early_stopping_metric": None, "early_stopping_fraction": 0.2,
    "warmup_steps": 0, "max_gradient_norm": None,
}  # fmt: skip
"""Keys added after the first records, with their defaults."""


def short_hash(identity: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of the SHA-256 of plain values, whatever the order of their keys."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
