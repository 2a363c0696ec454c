"""What a run is made of, and its identity. Imports neither torch nor Hydra."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from l2m.config.choices import GROUPS, registries
from l2m.schema import Pattern, Range

Choice = dict[str, Any]
"""A group's choice: its ``name`` and the options of what it names."""

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


SCIENTIFIC = ("epochs", "batch_size", "learning_rate", "precision")


def short_hash(identity: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of the SHA-256 of plain values, in whatever order their keys are."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
