"""Translates Hydra's errors about a command line into sentences for its user."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from l2m.config.choices import GROUPS
from l2m.config.run import RunConfig
from l2m.config.user_folders import conf_dir, describe_missing_file, list_yaml_files
from l2m.errors import UserError, closest, describe_error, shown
from l2m.registry import describe_unknown
from l2m.schema import options_of, type_name

CHOICES = (*GROUPS, "logger", "hydra/launcher", "hydra/sweeper")
"""The groups of ``conf/`` in which a run has a choice."""

USED = re.compile(r"hydra([/.](launcher|sweeper)\b.*|\.mode)")
"""The settings of Hydra that have an effect here."""

UNUSED = (
    "would have no effect: of Hydra's settings only its launcher, its sweeper and hydra.mode are used; results_dir "
    "says where records are written"
)


def check_words(words: Iterable[str], groups: Sequence[str] = CHOICES) -> None:
    """Raise a UserError for the first word that Hydra would accept and ignore, or fail on without a sentence."""
    for word in words:
        key, equals, value = word.partition("=")
        if key.startswith("~"):
            continue
        name = key.lstrip("+")
        if not equals or not re.fullmatch(r"[\w./@:-]+", name) or "//" in name:
            raise UserError(f"{shown(word, 60)} is not KEY=VALUE: write for example seed=1 (--help lists the keys)")
        if re.match(r"hydra\b", name) and not USED.fullmatch(name):
            raise UserError(f"{shown(word, 60)} {UNUSED}")
        if re.search(r"^[^'\"]*(\brange\([^()]*\)\s*,|,\s*range\()", value):
            raise UserError(f"{shown(word, 60)} has a range among other values: write each value, as {name}=0,1,2,5")
        is_list = value.startswith("[") and (name != "logger" or "[" in value[1:])
        if name in groups and (is_list or value.strip() == "{}"):
            raise UserError(f"{shown(word, 60)} must be one choice: write {name}=NAME (--help lists the names)")


def describe_user_error(error: Exception, keys: type = RunConfig, groups: Sequence[str] = CHOICES) -> str | None:
    """The user's mistake as value, rule and remedy; None for an error that is not the user's."""
    text = str(error)
    if described := describe_error(error):
        return described
    if "integer string conversion" in text:
        return "a number of the command line has too many digits: write a smaller one"
    if text.startswith("Only one of --run"):  # plain ValueErrors of Hydra's
        return f"{text.replace('Only one of', 'only one of')}: leave the others out"
    if "Config group override must be" in text:
        are = "are groups" if groups[1:] else "is one"
        return f"a group needs one of its choices, not null: {', '.join(groups)} {are}"
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}, is not valid YAML ({error.problem}): fix or remove it"
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        group = group.lstrip("/")
        return describe_missing_file(group, name) or describe_unknown(group, name, error.options)
    if match := re.search(r"Could not load '(\w+)/(\w+)'", text):  # one of several
        return describe_unknown(match[1], match[2], [file.stem for file in (conf_dir() / match[1]).glob("*.yaml")])
    if match := re.match(r"Could not override '([^']+)'", text):
        return _describe_unknown_key(match[1], keys, groups)
    if match := re.match(r"Ambiguous value for argument '([^'=]+)=?([^']*)'", text):
        key, values = match[1], match[2].strip()
        if key == "logger":
            return f"logger={values} gives several values to one run: several loggers at once are 'logger=[{values}]'"
        lists = [name for name, kind in options_of(keys).items() if type_name(kind).startswith("tuple")]
        if key in lists:
            return f"{key}={values} is not a list: write {key}=[{values}]"
        if not {key.partition(".")[0]} & {*options_of(keys), *groups}:
            return _describe_unknown_key(key, keys, groups)
        as_list = f"write {near}=[{values}], or " if (near := closest(key, lists)) else ""
        return f"{key}={values} gives several values to one run: {as_list}add -m to sweep over them"
    if match := re.search(r"Sweep parameters '([^']+)'", text):
        return f"{match[1]} gives several values to one run: add -m to sweep over them"
    first, *others = [line.strip().replace("LexerNoViableAltException: ", "") for line in text.strip().splitlines()]
    if isinstance(error, OverrideParseException):
        return (
            f"the command line cannot be parsed ({first}): write key=value, and put a value with spaces or special "
            "characters in both kinds of quotes, as 'key=\"a, b (c)\"'"
        )
    why = shown(": ".join([first, *others[:1]]))
    return f"the configuration cannot be composed ({why}): check what the command line changes or removes"


def _describe_unknown_key(key: str, keys: type, groups: Sequence[str]) -> str:
    """The error message for a key that the configuration does not have."""
    group, _, option = key.partition(".")
    if group == "hydra":
        group, _, option = option.partition(".")
        group = f"hydra/{group}"
    if key == "experiment":
        return "experiment is not part of every run: add it, as +experiment=NAME"
    if group not in groups or key == group:
        homes = [home for home in groups if any(key in options for options in _list_options(home).values())]
        if homes:
            return f"{key} is not a key by itself: write {' or '.join(f'{h}.{key}='.replace('/', '.') for h in homes)}"
        names = [*(field.name for field in fields(keys)), *(["experiment"] if "hydra/launcher" in groups else [])]
        return describe_unknown("key", key, names)
    options = _list_options(group)
    if owners := [name for name, names in options.items() if option in names]:
        swept = f", or, to sweep over {group}, write {key}='choice(VALUE)'" * (group in GROUPS)
        return f"{key} is not an option of the {group} here: add {group}={owners[0]}, which has it{swept}"
    near = closest(option, [name for names in options.values() for name in names])
    guess = f" (did you mean {group.replace('/', '.')}.{near}?)" if near else ""
    listed = [f"{group}={name} has {', '.join(names)}" for name, names in options.items() if not near or near in names]
    return f"{key} is not an option{guess}: {'; '.join(listed)}"


def _list_options(group: str) -> dict[str, list[str]]:
    """The options in the YAML of each of a group's choices that has any."""
    listed = {}
    for file in list_yaml_files(group):
        node: Any = OmegaConf.to_container(OmegaConf.load(file))
        options = node.get(group, node)
        if group == "logger":
            options = {f"{name}.{key}": value for name, own in options.items() for key, value in own.items()}
        if names := sorted(options.keys() - {"name", "defaults", "row", "_target_"}):
            listed[file.stem] = names
    return listed
