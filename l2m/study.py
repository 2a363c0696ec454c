"""``python -m l2m.study study=one_step study.problems=1000``: run studies of the paper's claims."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import fill

from l2m.cli import interrupts  # noqa: F401
from l2m.cli.command import Checked, Refused, Sweep, run_command
from l2m.cli.help import Help
from l2m.errors import UserError, cause, print_error, shown
from l2m.paper.studies.records import StudyConfig, check, is_finished, read, write
from l2m.records.reading import NewerRecord

HELP = Help(
    [
        "Run a study (several with -m), write its tables, and print its verdicts.",
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
    """Run the command line; a user's error is one sentence, with exit status 1."""
    run_command("study", check, _run_all, HELP, resumes="run the same command to start the unfinished studies again")


def _run_all(studies: Checked, refused: Refused, sweep: Sweep | None) -> bool:
    """Run all studies; whether a command was refused, or a study of a sweep failed."""
    failed = bool(refused)
    for config, command in studies:
        try:
            run(config)
        except UserError as error:
            if sweep is None:
                raise
            print_error(str(error), f"{command}: ")
            failed = True
    return failed


def run(config: StudyConfig) -> None:
    """Run a study unless it is finished, write its records, and print its verdicts.

    Raises:
        UserError: its data are missing, or its records cannot be written or are damaged.
    """
    import torch

    from l2m.paper.studies import STUDIES, Setting
    from l2m.records.provenance import now, provenance

    name = config.study["name"]
    before = torch.get_num_threads()
    with _reporting_damage(config.path):
        finished = not config.force and is_finished(config.path)
    if finished:
        print("already finished")
    else:
        if config.threads:
            torch.set_num_threads(config.threads)
        began, info = time.monotonic(), provenance(torch.device("cpu"))
        report = partial(print, f"{name}:", flush=True)
        setting = Setting(config.results_dir, config.data_dir, report)
        try:
            with torch.random.fork_rng([]):
                tables = STUDIES.build(config.study).run(setting)
        finally:
            torch.set_num_threads(before)
        write(config, tables, info | {"end": now(), "seconds": round(time.monotonic() - began, 1)})
    with _reporting_damage(config.path):
        recorded = read(config.path)
    print(fill(recorded.study.introduction(), 79), end="\n\n")
    for claim in recorded.claims:
        print(fill(f"{claim.verdict}: {claim.claim}", 79, subsequent_indent="  "))
        print(fill(claim.ours, 79, initial_indent="  ", subsequent_indent="  "))
    print(config.path)


@contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except NewerRecord as error:
        raise UserError(f"{path} is of a newer version ({error}): update l2m") from error
    except Exception as error:  # a damaged record may raise anything
        problem = shown(error) if isinstance(error, ValueError) else cause(error)
        raise UserError(f"{path} is damaged ({problem}): remove it to run the study again") from error


if __name__ == "__main__":
    main()
