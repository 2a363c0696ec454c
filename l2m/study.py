"""``python -m l2m.study study=one_step study.problems=1000``: run studies of the paper's claims."""

from __future__ import annotations

import time
from textwrap import fill

from l2m.cli.command import Checked, Refused, Sweep, run_command
from l2m.cli.help import Help
from l2m.paper.studies.records import StudyConfig, check, done, read, write

HELP = Help(
    [
        "Run a study, or with -m several, write its tables, and print its verdicts.",
        "",
        "  python -m l2m.study study=one_step",
        "  python -m l2m.study -m study=mixing_convergence,one_step",
    ],
    StudyConfig,
    ("study",),
    ("study",),
    "study.seed=1",
)


def main() -> None:
    """Carry out the command line; a user's error is one sentence, with exit status 1."""
    run_command("study", check, _carry_out, HELP, resumes="run the same command to begin again what was not done")


def _carry_out(studies: Checked, refused: Refused, sweep: Sweep | None) -> bool:
    """Run the studies that are not done, and print their verdicts; whether a command was refused."""
    for config, _ in studies:
        run(config)
    return bool(refused)


def run(config: StudyConfig) -> None:
    """Run a study that is not done, write its records, and print its verdicts.

    Raises:
        UserError: its data are not there, or its records cannot be written.
    """
    import torch

    from l2m.paper.studies import STUDIES, Setting
    from l2m.records.provenance import now, provenance

    name = config.study["name"]
    before = torch.get_num_threads()
    if done(config.path) and not config.force:
        print("done before")
    else:
        if config.threads:
            torch.set_num_threads(config.threads)
        began, info = time.monotonic(), provenance(torch.device("cpu"))
        setting = Setting(
            config.results_dir, config.data_dir, lambda line: print(f"{name}: {line}", flush=True), config.force
        )
        try:
            with torch.random.fork_rng([]):
                tables = STUDIES.build(config.study).run(setting)
        finally:
            torch.set_num_threads(before)
        write(config, tables, info | {"end": now(), "seconds": round(time.monotonic() - began, 1)})
    recorded = read(config.path)
    print(fill(recorded.study.introduction(), 79), end="\n\n")
    for claim in recorded.study.claims(recorded.tables):
        print(fill(f"{claim.verdict}: {claim.claim}", 79, subsequent_indent="  "))
        print(fill(claim.ours, 79, initial_indent="  ", subsequent_indent="  "))
    print(config.path)


if __name__ == "__main__":
    main()
