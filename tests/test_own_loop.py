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

from l2m import GroupLosses, Learn2MixBatchSampler
from l2m.data.torchvision_import import torchvision  # both libraries import it

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("default"),  # of libraries that are not ours
]
assert torchvision
lightning = pytest.importorskip("lightning")
transformers = pytest.importorskip("transformers")

PAGE = (Path(__file__).parents[1] / "docs" / "own_loop.md").read_text(encoding="utf-8")
CODE = {
    section.partition("\n")[0]: re.findall(r"```python[^\n]*\n(.*?)```", section, re.S)
    for section in PAGE.split("\n## ")
}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the page defines, once its blocks for the two libraries have been run."""
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("page"))
    with torch.random.fork_rng():
        for section in ("# In a loop of your own", "Lightning", "The Trainer of Hugging Face"):
            for block in CODE[section]:
                exec(compile(block, "own_loop.md", "exec"), names)
            if section == "Lightning":
                names["moved"] = names["sampler"].proportions
    yield names
    os.chdir(before)


def test_learn2mix_takes_fewer_than_fifteen_lines() -> None:
    for section, block in {"A plain loop": 0, "Lightning": 2, "The Trainer of Hugging Face": 1}.items():
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


def fit(names: dict[str, Any], epochs: int, workers: int, resume: Path | None = None, **saving: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = names["Digits"]()
    callbacks = [names["Learn2Mix"]()]
    if saving:
        callbacks.append(lightning.pytorch.callbacks.ModelCheckpoint(filename="{step}", save_top_k=-1, **saving))
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=callbacks, use_distributed_sampler=False, logger=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=bool(saving),
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
@pytest.mark.parametrize(("step", "saving"), [(40, {"every_n_train_steps": 40}), (58, {"every_n_epochs": 1})])
def test_lightning_goes_on_from_its_checkpoints(
    names: dict[str, Any], tmp_path: Path, step: int, saving: dict[str, int], workers: int
) -> None:
    """Of 29 steps an epoch: within the second, and at its end."""
    sampler = fresh(names)
    module = fit(names, 4, workers, dirpath=tmp_path, **saving)
    other = fresh(names, seed=9)
    again = fit(names, 4, workers, resume=tmp_path / f"step={step}.ckpt")
    assert all(map(torch.equal, module.parameters(), again.parameters()))
    assert torch.equal(sampler.proportions, other.proportions)


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


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("step", "saving"), [(40, {"save_strategy": "steps", "save_steps": 40}), (58, {"save_strategy": "epoch"})]
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


# Two processes


def test_the_pages_script_runs_in_two_processes(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(CODE["Several processes"][0])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "train.py"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr
    assert len(re.findall(r"0\.\d{4}", told.stdout)) == 10  # once, though two have run
