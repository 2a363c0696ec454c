"""docs/own_loop.md with the real libraries: what Lightning, the Trainer and torchrun do is what a plain loop does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from l2m import GroupLosses, Learn2MixBatchSampler, ShardedBatchSampler
from l2m.data.torchvision_import import torchvision  # both libraries import it

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("default"),  # of libraries that are not ours
]
assert torchvision
lightning = pytest.importorskip("lightning")
transformers = pytest.importorskip("transformers")

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "own_loop.md").read_text(encoding="utf-8")
CODE = {
    section.partition("\n")[0]: re.findall(r"```python[^\n]*\n(.*?)```", section, re.S)
    for section in PAGE.split("\n## ")
}


def page(runs: bool = True) -> dict[str, Any]:
    """What the page defines once its blocks for the two libraries have been run, with or without their training."""
    names: dict[str, Any] = {}
    for section in ("A plain loop", "Lightning", "The Trainer of Hugging Face"):
        for block in CODE[section][:1] if section == "A plain loop" else CODE[section]:
            text = block if runs else re.split(r"^(?:trainer|arguments) = ", block, flags=re.M)[0]
            exec(compile(text, "own_loop.md", "exec"), names)
        if section == "Lightning":
            names["moved"] = names["sampler"].proportions
    return names


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("page"))
    with torch.random.fork_rng():
        names = page()
    yield names
    os.chdir(before)


def test_learn2mix_takes_fewer_than_fifteen_lines() -> None:
    for section, block in {
        "A plain loop": 1,
        "Updates within an epoch": 0,
        "Token losses": 0,
        "Segmentation": 1,
        "Gradient accumulation": 0,
        "Accelerate": 0,
        "StatefulDataLoader": 0,
        "Lightning": 2,
        "The Trainer of Hugging Face": 1,
    }.items():
        assert len([line for line in CODE[section][block].splitlines() if line]) < 15, section


def test_the_pages_own_runs_move_the_proportions(names: dict[str, Any]) -> None:
    shares = torch.bincount(names["labels"]) / len(names["labels"])
    for moved in (names["moved"], names["sampler"].proportions):
        assert moved[:5].sum() > shares[:5].sum() + 0.01


def fresh(names: dict[str, Any], seed: int = 0) -> Learn2MixBatchSampler:
    """Give the page's code a new sampler and new sums; the seeds of two that are to go on alike may differ."""
    names["group_losses"] = GroupLosses(10)
    names["sampler"] = Learn2MixBatchSampler(
        names["labels"], batch_size=32, mixing_rate=0.5, generator=torch.Generator().manual_seed(seed)
    )
    return names["sampler"]


def plain(names: dict[str, Any], model: Any, optimizer: torch.optim.Optimizer, epochs: int, together: int = 1) -> None:
    """The page's plain loop with the sampler in force, a step on so many batches ``together``."""
    for _ in range(epochs):
        batches = list(names["sampler"])
        for at in range(0, len(batches), together):
            step = batches[at : at + together]
            optimizer.zero_grad()
            for batch in step:
                y = names["labels"][batch]
                losses = cross_entropy(model(names["images"][batch]), y, reduction="none")
                (losses.mean() / len(step)).backward()
                names["group_losses"].add(losses, y)
            optimizer.step()
        names["sampler"].update(*names["group_losses"].end_epoch())


def close(one: torch.nn.Module, other: torch.nn.Module, sampler: Any, other_sampler: Any) -> None:
    for mine, yours in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sampler.proportions, other_sampler.proportions, rtol=1e-5, atol=1e-6)


# Lightning


def fit(
    names: dict[str, Any], epochs: int, workers: int, resume: Path | None = None, steps: int = -1, **saving: Any
) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = names["Digits"]()
    callbacks = [names["Learn2Mix"]()]
    if saving:
        callbacks.append(lightning.pytorch.callbacks.ModelCheckpoint(filename="{step}", save_top_k=-1, **saving))
    trainer = lightning.Trainer(
        max_epochs=epochs, max_steps=steps, callbacks=callbacks, use_distributed_sampler=False, logger=False,
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=bool(saving),
    )  # fmt: skip
    loader = DataLoader(names["dataset"], batch_sampler=names["sampler"], num_workers=workers)
    trainer.fit(module, loader, ckpt_path=resume)
    return module


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_trains_as_a_plain_loop_does(names: dict[str, Any], workers: int) -> None:
    sampler = fresh(names)
    module = fit(names, 3, workers)
    other = fresh(names)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = names["Digits"]().network
    plain(names, model, torch.optim.Adam(model.parameters()), 3)
    close(module.network, model, sampler, other)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("step", "saving"),
    [(40, {"every_n_train_steps": 40}), (58, {"every_n_epochs": 1}), (58, {"every_n_train_steps": 29})],
)
def test_lightning_goes_on_from_its_checkpoints(
    names: dict[str, Any], tmp_path: Path, step: int, saving: dict[str, int], workers: int
) -> None:
    """Of 29 steps an epoch: within the second, at its end, and after its last step."""
    sampler = fresh(names)
    module = fit(names, 4, workers, dirpath=tmp_path, **saving)
    other = fresh(names, seed=9)
    again = fit(names, 4, workers, resume=tmp_path / f"step={step}.ckpt")
    assert all(map(torch.equal, module.parameters(), again.parameters()))
    assert torch.equal(sampler.proportions, other.proportions)


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_is_saved_where_its_steps_ended(names: dict[str, Any], tmp_path: Path, workers: int) -> None:
    sampler = fresh(names)
    fit(names, 4, workers, steps=40).trainer.save_checkpoint(tmp_path / "40.ckpt")
    state = torch.load(tmp_path / "40.ckpt", weights_only=False)["callbacks"]["Learn2Mix"]
    again = fresh(names, seed=9)
    again.load_state_dict(state["sampler"])
    assert state["losses"]["batches"] == 11
    assert len(list(again)) == 29 - 11
    assert torch.equal(sampler.proportions, again.proportions)


# The Trainer of Hugging Face


def hugging_face(names: dict[str, Any], folder: Path, workers: int = 0, **options: Any) -> tuple[Any, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = type(names["resnet"])(names["resnet"].config)
    arguments = transformers.TrainingArguments(
        str(folder), report_to="none", disable_tqdm=True, use_cpu=True, learning_rate=1e-3,
        lr_scheduler_type="constant", max_grad_norm=0, **({"num_train_epochs": 3, "save_strategy": "no"} | options),
    )  # fmt: skip
    trainer = names["Learn2MixTrainer"](model, arguments, train_dataset=names["digits"])
    trainer.add_callback(names["SaveSampler"]())
    if workers:
        options = {"batch_sampler": names["sampler"], "collate_fn": trainer.data_collator, "num_workers": workers}
        trainer.get_train_dataloader = lambda: DataLoader(names["digits"], **options)
    return model, trainer


@pytest.mark.parametrize("together", [1, 2])
def test_the_trainer_trains_as_a_plain_loop_does(names: dict[str, Any], tmp_path: Path, together: int) -> None:
    sampler = fresh(names)
    model, trainer = hugging_face(names, tmp_path, gradient_accumulation_steps=together)
    trainer.train()
    other = fresh(names)
    alike, _ = hugging_face(names, tmp_path)
    optimizer = torch.optim.AdamW(alike.parameters(), 1e-3, weight_decay=0)
    plain(names, lambda images: alike(images.view(-1, 1, 8, 8)).logits, optimizer, 3, together)
    close(model, alike, sampler, other)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("step", "saving"),
    [
        (40, {"save_strategy": "steps", "save_steps": 40}),
        (58, {"save_strategy": "epoch"}),
        (58, {"save_strategy": "steps", "save_steps": 29}),
    ],
)
def test_the_trainer_goes_on_from_its_checkpoints(
    names: dict[str, Any], tmp_path: Path, step: int, saving: dict[str, Any], workers: int
) -> None:
    sampler = fresh(names)
    model, trainer = hugging_face(names, tmp_path, workers, **saving)
    trainer.train()
    other = fresh(names, seed=9)
    again, trainer = hugging_face(names, tmp_path, workers)
    folder = tmp_path / f"checkpoint-{step}"
    saved = torch.load(folder / "learn2mix.pt")
    other.load_state_dict(saved["sampler"])
    names["group_losses"].load_state_dict(saved["losses"])
    trainer.train(resume_from_checkpoint=str(folder))
    assert all(map(torch.equal, model.parameters(), again.parameters()))
    assert torch.equal(sampler.proportions, other.proportions)


# Two processes, each of which runs this file


def both(names: dict[str, Any], folder: Path) -> list[torch.Tensor]:
    """Proportions and parameters that Lightning and the Trainer end with; of two processes each takes its shards."""
    ranks = torch.distributed.is_initialized()
    ended = []

    def loader(dataset: Any) -> Any:
        sampler = names["sampler"]
        return DataLoader(dataset, batch_sampler=ShardedBatchSampler(sampler) if ranks else sampler)

    class Module(names["Digits"]):  # type: ignore[misc, name-defined]
        def train_dataloader(self) -> Any:
            return loader(names["dataset"])

    class Trainer(names["Learn2MixTrainer"]):  # type: ignore[misc, name-defined]
        def get_train_dataloader(self) -> Any:
            return loader(self.train_dataset)

    fresh(names, seed=torch.distributed.get_rank() if ranks else 0)  # rank 1 takes rank 0's order
    torch.manual_seed(1)
    module = Module()
    lightning.Trainer(
        max_epochs=3, callbacks=[names["Learn2Mix"]()], use_distributed_sampler=False, logger=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        **({"strategy": "ddp", "devices": 2} if ranks else {}),
    ).fit(module)  # fmt: skip
    ended += [names["sampler"].proportions, *module.parameters()]

    fresh(names, seed=torch.distributed.get_rank() if ranks else 0)
    model, trainer = hugging_face(names, folder)
    for part in list(model.modules()):
        for name, child in part.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):  # its statistics would be of a shard
                setattr(part, name, torch.nn.Identity())
    Trainer(model, trainer.args, train_dataset=names["digits"]).train()
    return [each.detach() for each in (*ended, names["sampler"].proportions, *model.parameters())]


def process(folder: Path) -> None:
    torch.set_num_threads(1)
    script, end = CODE["Several processes"][0].strip().rsplit("\n", 1)
    exec(script, {})
    torch.save(both(page(runs=False), folder), folder / f"{os.environ['RANK']}.pt")
    exec(end, {"torch": torch})


def test_two_processes_end_as_one_does(names: dict[str, Any], tmp_path: Path) -> None:
    """The page's script, then Lightning and the Trainer."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", __file__, str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    assert len(re.findall(r"tensor\(\[0\.\d{4}", result.stdout)) == 1  # rank 0 alone says it
    with torch.random.fork_rng():
        alone = both(names, tmp_path)
    for rank in (0, 1):
        ended = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(ended, alone, rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
    process(Path(sys.argv[1]))
