"""What Hydra says of a command line that can't be, in a person's words."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from l2m.config.choices import GROUPS
from l2m.config.run import RunConfig
from l2m.config.user_folders import conf_dir, files, missing_half
from l2m.errors import UserError, closest
from l2m.registry import unknown
from l2m.schema import type_name

CHOICES = (*GROUPS, "logger", "hydra/launcher", "hydra/sweeper")
"""The groups of ``conf/`` that a run takes a choice of."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def explain(error: Exception, keys: type = RunConfig, groups: Sequence[str] = CHOICES) -> str | None:
    """What a user did wrong, as the value, the rule and the remedy; None for errors that are not a user's."""
    text = str(error)
    if isinstance(error, UserError):
        return text
    if "Config group override must be" in text:  # a plain ValueError of Hydra's
        are = "are groups" if groups[1:] else "is one"
        return f"a group needs one of its choices, not null: {', '.join(groups)} {are}"
    if isinstance(error, OSError) and (error.errno in FULL or "temporary directory" in text):
        return (
            f"a file can't be written ({error.strerror}): make room, or let TMPDIR name a folder that can be written to"
        )
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}, is no YAML ({error.problem}): mend it, or take it out of there"
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        group = group.lstrip("/")
        return missing_half(group, name) or unknown(group, name, error.options)
    if found := re.search(r"Could not load '(\w+)/(\w+)'", text):  # one of several
        return unknown(found[1], found[2], [file.stem for file in (conf_dir() / found[1]).glob("*.yaml")])
    if found := re.match(r"Could not override '([^']+)'", text):
        key = found[1]
        group, _, option = key.partition(".")
        if group == "hydra":
            group, _, option = option.partition(".")
            group = f"hydra/{group}"
        if key == "experiment":
            return "experiment is not part of every run: add it, as +experiment=NAME"
        if group not in groups or key == group:
            homes = [home for home in groups if any(key in options for options in _options(home).values())]
            homes = [home.replace("/", ".") for home in homes]
            if homes:
                return f"{key} is not a key by itself: write {' or '.join(f'{home}.{key}=' for home in homes)}"
            return unknown("key", key, [field.name for field in fields(keys)])
        known = _options(group)
        if having := [name for name, options in known.items() if option in options]:
            return f"{key} is not an option of the {group} here: add {group}={having[0]}, which has it"
        near = closest(option, [option for options in known.values() for option in options])
        guess = f" (did you mean {group.replace('/', '.')}.{near}?)" if near else ""
        having = [name for name, options in known.items() if not near or near in options]
        return f"{key} is not an option{guess}: " + "; ".join(
            f"{group}={name} has {', '.join(known[name])}" for name in having
        )
    if found := re.match(r"Ambiguous value for argument '([^'=]+)=?([^']*)'", text):
        key, values = found[1], found[2].strip()
        if key == "logger":
            return f"logger={values} gives several values to one run: several loggers at once are 'logger=[{values}]'"
        if type_name(get_type_hints(keys, include_extras=True).get(key)).startswith("tuple"):
            return f"{key}={values} is no list: write {key}=[{values}]"
        return f"{key}={values} gives several values to one run: add -m to sweep over them"
    if found := re.search(r"Sweep parameters '([^']+)'", text):
        return f"{found[1]} gives several values to one run: add -m to sweep over them"
    told = text.strip().partition("\n")[0]
    if isinstance(error, OverrideParseException):
        return (
            f"the command line can't be read ({told}): write key=value, and a value with blanks or signs in quotes of "
            "both kinds, as 'key=\"a, b (c)\"'"
        )
    return f"the configuration can't be put together ({told}): look for what the command line changes or takes away"


def _options(group: str) -> dict[str, list[str]]:
    """Options of each of a group's choices that has any, as its YAML lists them."""
    found = {}
    for file in files(group):
        node: Any = OmegaConf.to_container(OmegaConf.load(file))
        options = node.get(group, node)
        if group == "logger":
            options = {f"{name}.{key}": value for name, own in options.items() for key, value in own.items()}
        if names := sorted(options.keys() - {"name", "defaults", "row", "_target_"}):
            found[file.stem] = names
    return found
