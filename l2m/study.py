"""The door to the studies: ``python -m l2m.study study=one_step study.problems=1000``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from textwrap import fill

from l2m.help import store_help
from l2m.run import door
from l2m.studies.records import StudyConfig, check, done, read, write

ABOUT = [
    "Run a study, or with -m several, write its tables, and tell what its claims came to.",
    "",
    "  python -m l2m.study study=one_step",
    "  python -m l2m.study -m study=mixing_convergence,one_step",
]


def main() -> None:
    """Do what the command line asks for; a user's error is told in a sentence, with exit status 1."""
    door("study", check, _do, keys=StudyConfig, groups=("study",), again="begins anew what was not done")


def _do(studies: Sequence[tuple[StudyConfig, str]], refused: Sequence[tuple[str, str]], swept: object) -> bool:
    """Run the studies that are not done, and tell what their claims came to; whether a command was refused."""
    for config, _ in studies:
        run(config)
    return bool(refused)


def run(config: StudyConfig) -> None:
    """Run a study that is not done, write its records, and print its verdicts.

    Raises:
        UserError: its data are not there, or its records can't be written.
    """
    import torch

    from l2m.provenance import now, provenance
    from l2m.studies import Setting
    from l2m.studies.records import studies

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
                tables = studies().build(config.study).run(setting)
        finally:
            torch.set_num_threads(before)
        write(config, tables, info | {"end": now(), "seconds": round(time.monotonic() - began, 1)})
    recorded = read(config.path)
    print(fill(recorded.study.introduction(), 79), end="\n\n")
    for claim in recorded.study.claims(recorded.tables):
        print(fill(f"{claim.verdict}: {claim.claim}", 79, subsequent_indent="  "))
        print(fill(claim.ours, 79, initial_indent="  ", subsequent_indent="  "))
    print(config.path)


store_help("l2m_study", ABOUT, StudyConfig, ("study",), ("study",), "study.seed=1")

if __name__ == "__main__":
    main()
