"""Time the training loop on real data: what learn2mix costs over classical, and both over the bare steps.

Three things run in turns in one process, an epoch of training each: classical, learn2mix, and the limit, which
is as many steps of the same model and optimizer on one batch that is already there. What is quoted is the
median, over the rounds, of the ratio within a round, and its quartiles. Evaluation is outside the clock. Then what
checkpoints take of a run: one at its end, with all rows, against the time to the next.

    python scripts/bench.py --dataset mnist --rounds 15
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from l2m import UserError, compose
from l2m.engine import Trainer
from l2m.records import RunDirectory


def checkpoint(trainer: Trainer, times: int = 9) -> tuple[float, int]:
    """Median seconds that a checkpoint at the end of a run takes to write, and its bytes."""
    config = trainer.config
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(replace(config, results_dir=folder))
        run.start(trainer.device)
        row, groups = trainer.run_epoch()
        for _ in range(config.epochs):
            run.add(row, groups)
        seconds = []
        for _ in range(times):
            began = time.perf_counter()
            run.save_checkpoint(trainer.state_dict())
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds), (run.path / "checkpoint.pt").stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--rounds", type=int, default=15, help="at least 2")
    parser.add_argument("--out", help="write the figures to this file as JSON")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds} must be at least 2: quartiles need two")

    def epoch(strategy: str) -> tuple[Trainer, Callable[[], float]]:
        trainer = Trainer(compose(f"dataset={options.dataset}", f"strategy={strategy}"))

        def run() -> float:
            before = trainer.seconds
            trainer.run_epoch()
            return trainer.seconds - before

        return trainer, run

    try:
        _, classical = epoch("classical")
        trainer, learn2mix = epoch("learn2mix")
    except UserError as error:
        sys.exit(f"error: {error}")
    reference, _ = epoch("classical")
    size = reference.config.batch_size
    batch = reference.train_set.batch(torch.arange(size, device=reference.device))

    def limit() -> float:
        reference.model.train()
        began = time.perf_counter()
        for _ in range(reference.steps):
            loss = reference.task.loss(reference.model(batch.inputs), batch.targets).mean()
            reference.optimizer.zero_grad()
            loss.backward()
            reference.optimizer.step()
        float(loss.detach())
        return time.perf_counter() - began

    contenders = {"classical": classical, "learn2mix": learn2mix, "limit": limit}
    for run in contenders.values():
        run()  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for round_ in range(options.rounds):
        for name in order[round_ % 3 :] + order[: round_ % 3]:
            seconds[name].append(contenders[name]())
    figures = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {trainer.device}",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "dataset": options.dataset,
        "steps an epoch": trainer.steps,
        "rounds": options.rounds,
        "median seconds an epoch": {name: round(statistics.median(times), 4) for name, times in seconds.items()},
    }
    print(json.dumps(figures, indent=2))
    ratios = {}
    for above, below, asked in (
        ("learn2mix", "classical", 1.03),
        ("classical", "limit", 1.05),
        ("learn2mix", "limit", 1.05),
    ):
        rounds = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
        first, middle, third = statistics.quantiles(rounds, n=4)
        ratios[f"{above} / {below}"] = {"median": middle, "quartiles": [first, third], "asked": asked}
        print(f"{above:9} / {below:9}  {middle:.3f}  (quartiles {first:.3f} to {third:.3f}; asked: at most {asked})")
    epoch_seconds = figures["median seconds an epoch"]["learn2mix"]
    config = trainer.config
    each, size = checkpoint(trainer)
    share = each / max(config.checkpoint_seconds, epoch_seconds)
    ratios["checkpoint / run"] = {"median": share, "bytes": size, "asked": 0.01}
    print(
        f"checkpoint / run   {share:.5f}  ({each * 1000:.1f} ms for {size / 1e6:.1f} MB every "
        f"{max(config.checkpoint_seconds, epoch_seconds):.0f} s; asked: at most 0.01)"
    )
    if options.out:
        with open(options.out, "w") as file:
            json.dump(figures | {"ratios": ratios}, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
