"""``python -m l2m.run``: train a run or a sweep. Nothing heavy is imported before the command line is parsed."""

from contextlib import closing

from l2m.cli import interrupts  # noqa: F401
from l2m.cli.command import Checked, Refused, Sweep, run_command
from l2m.cli.help import Help
from l2m.config.checking import check
from l2m.config.choices import GROUPS
from l2m.config.override_errors import CHOICES
from l2m.config.run import RunConfig

HELP = Help(
    [
        "Train one run, or with -m sweep over many, and write its records.",
        "",
        "  python -m l2m.run dataset=mnist strategy=learn2mix seed=1",
        "  python -m l2m.run -m dataset=mnist strategy=classical,learn2mix seed='range(5)'",
    ],
    RunConfig,
    CHOICES,
    ("strategy", "mixing", "imbalance", "model", "optimizer", *CHOICES[len(GROUPS) :]),
    "strategy.focusing=1",
    added=("experiment",),
    common=("epochs", "batch_size", "learning_rate", "seed", "device", "workers", "results_dir", "dry_run", "force"),
)


def main() -> None:
    """Run the command line; a user's error is one sentence, with exit status 1."""
    run_command("config", check, _train, HELP, uses_launcher=True)


def _train(runs: Checked, refused: Refused, sweep: Sweep | None) -> bool:
    from l2m.sweeps.launching import choose_launcher, launch
    from l2m.sweeps.plan import format_plan, plan
    from l2m.sweeps.progress import print_data, train_with_progress, where_to_look
    from l2m.training import ranks
    from l2m.training.device import keep_memory

    planned = plan(runs)
    if any(config.dry_run for config, _ in runs):
        print_data((run.config for run in planned), is_dry=True)
        print(format_plan(planned))
        return False
    if not sweep:
        keep_memory()
        config = planned[0].config
        with ranks.joined(config.device):
            ranks.check_divisible(config)
            ranks.from_first(lambda: print_data(run.config for run in planned if run.to_do))
            print(train_with_progress(config))
            print(*where_to_look([config], {}), sep="\n")
        return False
    if sweep.tuned:
        return any(run.status == "failed" for run in planned)
    print_data(run.config for run in planned if run.to_do)
    skipped = sum(not run.to_do for run in planned)
    with closing(choose_launcher(sweep.launcher)) as launcher:
        lost = launch(planned, launcher)
    failed = [*(command for command, _ in refused), *(run.command for run, _ in lost)]
    total = len(planned) + len(refused)
    done = total - skipped - len(failed)
    print(f"{total} run{'s' * (total != 1)}: {done} done, {skipped} skipped (done before), {len(failed)} failed")
    for command in failed:  # the reasons were printed as they came up
        print(f"  python -m l2m.run {command}")
    print(*where_to_look((run.config for run in planned), sweep.launcher), sep="\n")
    return bool(failed)


if __name__ == "__main__":
    main()
