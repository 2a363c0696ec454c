"""The door: ``python -m l2m.run``, and the only place that knows Hydra. Nothing heavy is imported before ``main``."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import textwrap
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from l2m.config import GROUPS, RunConfig
from l2m.errors import UserError
from l2m.registry import unknown
from l2m.schema import type_name

if TYPE_CHECKING:
    pass


def conf_dir() -> Path:
    """The folder ``conf``: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def compose(*overrides: str) -> RunConfig:
    """The configuration that the command line ``python -m l2m.run *overrides`` means.

    Raises:
        UserError: what is wrong with it, in sentences.
    """
    from l2m.config import check

    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return check(_plain(hydra.compose("config", overrides=list(overrides))))
    except Exception as error:
        if sentence := explain(error):
            raise UserError(sentence) from error
        raise


def main() -> None:
    """Run what the command line asks for; a user's error is told in a sentence, with exit status 1."""
    traceback = os.environ.get("HYDRA_FULL_ERROR") == "1" or "debug=true" in sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on, to be told here
    problems: list[str] = []
    runs = 0

    @hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
    def job(raw: DictConfig) -> None:
        nonlocal runs
        runs += 1
        try:
            _train(raw)
        except UserError as error:
            if traceback:
                raise
            hydra_config = HydraConfig.get()
            swept = " ".join(hydra_config.overrides.task) + ": " if hydra_config.mode is RunMode.MULTIRUN else ""
            problems.append(str(error))
            _complain(str(error), swept)

    try:
        job()
    except Exception as error:
        sentence = explain(error)
        if traceback or not sentence:
            raise
        problems.append(sentence)
        _complain(sentence)
    except KeyboardInterrupt:
        print("\nstopped: this run begins anew next time; finished runs are kept, and skipped", file=sys.stderr)
        sys.exit(130)
    if runs > 1:
        print(f"{runs} runs: {runs - len(problems)} done, {len(problems)} failed")
    if problems:
        sys.exit(1)


def explain(error: Exception) -> str | None:
    """What a user did wrong, as the value, the rule and the remedy; None for errors that are not a user's."""
    text = str(error)
    if isinstance(error, UserError):
        return text
    if "Config group override must be" in text:  # a plain ValueError of Hydra's
        return f"a group needs one of its choices, not null: {', '.join(GROUPS)} are groups"
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return unknown(group.lstrip("/"), name, error.options)
    if found := re.match(r"Could not override '([^']+)'", text):
        key = found[1]
        group = key.partition(".")[0]
        if group not in GROUPS or key == group:
            return unknown("key", key, [field.name for field in fields(RunConfig)])
        there_are = "; ".join(f"{group}={name} has {', '.join(options)}" for name, options in _options(group).items())
        return f"{key} is not an option: {there_are}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if found := re.match(r"Ambiguous value for argument '([^']+)'", text):
        return f"{found[1]} gives several values to one run: add -m to sweep over them"
    if (lines and "mismatched input" in lines[0]) or "no viable alternative" in text:
        return f"the command line can't be read ({lines[0]}): write key=value, and quote values with special characters"
    return "; ".join(lines[:3])


def _options(group: str) -> dict[str, list[str]]:
    """Options of each of a group's choices that has any, as its YAML lists them."""
    found = {}
    for file in sorted((conf_dir() / group).glob("*.yaml")):
        node: Any = OmegaConf.to_container(OmegaConf.load(file))
        if options := sorted(node.get(group, node).keys() - {"name", "defaults", "row"}):
            found[file.stem] = options
    return found


def _plain(raw: DictConfig) -> dict[str, Any]:
    missing = sorted(OmegaConf.missing_keys(raw))
    if missing:
        raise UserError("\n".join(f"{key} has no value: give it one, as {key}=..." for key in missing))
    container: Any = OmegaConf.to_container(raw, resolve=True)
    return dict(container)


def _train(raw: DictConfig) -> None:
    from l2m.config import check
    from l2m.engine import train
    from l2m.progress import Progress

    config = check(_plain(raw))
    with Progress(config) as progress:
        records = train(config, progress.advance)
    progress.tell(records)


def _complain(problem: str, run: str = "") -> None:
    for line in problem.splitlines():
        print(f"error: {run}{line}", file=sys.stderr)


def _help() -> str:
    """The text of ``--help``, in Hydra's template language: keys and ranges from the schema, options from YAML."""
    hints = get_type_hints(RunConfig, include_extras=True)
    lines = ["Train one run, or with -m sweep over many, and write its records.", ""]
    lines += ["  python -m l2m.run dataset=mnist strategy=learn2mix seed=1"]
    lines += ["  python -m l2m.run -m dataset=mnist strategy=classical,learn2mix seed='range(5)'", ""]
    lines += ["Choices", ""]
    for group in (*GROUPS, "experiment"):
        names = ", ".join(sorted(file.stem for file in (conf_dir() / group).glob("*.yaml")))
        label = ("+" if group == "experiment" else "") + group + "="
        lines += textwrap.wrap(names, 79, initial_indent=f"  {label:13}", subsequent_indent=" " * 15)
    lines += ["", "Keys", ""]
    for field in fields(RunConfig):
        if field.name not in GROUPS:
            note = next(n for n in hints[field.name].__metadata__[::-1] if isinstance(n, str))
            lines += [f"  {field.name:14} {type_name(hints[field.name])}", f"  {'':14} {note}"]
    lines += ["", "Options of strategies (strategy.KEY=VALUE)", ""]
    for file in sorted((conf_dir() / "strategy").glob("*.yaml")):
        options = file.read_text().splitlines()[1:]
        lines += [f"  {file.stem}", *(f"    {option}" for option in options)]
    text = re.sub(r"\$\{row\.\w+\}", "the data set's", "\n".join(lines))
    return f"{text}\n\nThis command line gives\n\n$CONFIG"


ConfigStore.instance().store("l2m", {"app_name": "l2m", "header": "", "footer": "", "template": _help()}, "hydra/help")
OmegaConf.register_new_resolver("scratch", tempfile.gettempdir, replace=True)

if __name__ == "__main__":
    main()
