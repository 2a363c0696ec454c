"""Composes configurations from command-line overrides, with Hydra."""

import atexit
import os
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from l2m.config.checking import check
from l2m.config.choices import GROUPS
from l2m.config.hydra_private import list_jobs
from l2m.config.override_errors import check_words, describe_user_error
from l2m.config.run import RunConfig
from l2m.config.user_folders import conf_dir, find_user_folders, import_user_files, use_folder
from l2m.errors import UserError

T = TypeVar("T")


class UserFolders(SearchPathPlugin):
    """Adds the users' folders to Hydra's search path, after the suite's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in find_user_folders():
            search_path.append("l2m", f"file://{folder}")


_LOCK = threading.RLock()
"""Hydra's state is one a process: threads compose one after the other."""


@contextmanager
def _initialized(config_dir: str | os.PathLike[str] | None) -> Iterator[None]:
    """Hydra with the suite's folders, and afterwards as it was; what it raises for a user's mistake is a UserError."""
    with _LOCK, use_folder(config_dir):
        running, state = GlobalHydra.instance().hydra, HydraConfig.instance().cfg  # of a Hydra application around us
        GlobalHydra.instance().clear()
        try:
            import_user_files(GROUPS)  # for resolvers that they register
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
                yield
        except Exception as error:
            if sentence := describe_user_error(error):
                raise UserError(sentence) from error
            raise
        finally:
            GlobalHydra.instance().hydra, HydraConfig.instance().cfg = running, state


def compose(*overrides: str, config_dir: str | os.PathLike[str] | None = None) -> RunConfig:
    """The configuration of the command line ``python -m l2m.run *overrides``.

    Args:
        config_dir: a folder with your own choices, as in ``--config-dir`` (:mod:`l2m.config.user_folders`).

    Raises:
        UserError: the overrides or the folder are not valid, or they are a sweep, which :func:`l2m.sweep` takes.

    Examples:
        >>> compose("dataset=digits", "strategy=focal", "epochs=5").strategy["focusing"]
        2.0
    """
    return compose_checked("config", overrides, check, config_dir)


def compose_sweep(
    *overrides: str, config_dir: str | os.PathLike[str] | None = None
) -> tuple[list[tuple[RunConfig, str]], dict[str, Any]]:
    """The configurations of a sweep, each with its words, and the launcher's settings; as for :func:`l2m.sweep`."""
    with _initialized(config_dir):
        check_words(overrides)
        loader = GlobalHydra.instance().config_loader()
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
        fixed = [override.input_line or "" for override in parsed if not override.is_sweep_override()]
        settings = hydra.compose("config", fixed, return_hydra_config=True).hydra
        if (sweeper := settings.runtime.choices["hydra/sweeper"]) != "basic":
            raise UserError(f"hydra/sweeper={sweeper} searches for values: use the command python -m l2m.run -m")
        params = [f"{key}={value}" for key, value in (settings.sweeper.params or {}).items()]
        own = [line for line in settings.overrides.hydra if not line.startswith("hydra.mode")]
        words = [line for line in overrides if line not in settings.overrides.hydra]
        composer = SweepComposer(lambda job: hydra.compose("config", [*own, *job], return_hydra_config=True), loader)
        jobs = list_jobs([*params, *words])
        runs = [(check(plain_values(composer.compose(job))), shlex.join(job)) for job in jobs]
        return runs, plain_values(settings.launcher)


def compose_checked(
    name: str,
    overrides: Sequence[str],
    check: Callable[[dict[str, Any]], T],
    config_dir: str | os.PathLike[str] | None = None,
) -> T:
    """What ``check`` makes of the values of ``conf/<name>.yaml`` with overrides; it may call :func:`compose_with`.

    Raises:
        UserError: the overrides or the folder are not valid, or they are a sweep.
    """
    with _initialized(config_dir):
        check_words(overrides)
        raw = hydra.compose(name, list(overrides), return_hydra_config=True)
        if swept := raw.hydra.sweeper.params:
            raise UserError(
                f"{' '.join(overrides)} is a sweep over {', '.join(swept)}: use l2m.sweep, which takes the same words"
            )
        HydraConfig.instance().set_config(raw)
        return check(plain_values(raw))


class SweepComposer:
    """Composes the runs of a sweep; those that differ in plain values alone share one composition.

    ``load`` composes the configuration of some words, with Hydra's own settings under ``hydra``.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig], loader: ConfigLoader) -> None:
        self._load, parser = load, OverridesParser.create(config_loader=loader)
        self._parse = cache(lambda word: parser.parse_overrides([word])[0])
        self._is_group = cache(lambda key: bool(loader.get_group_options(key)))
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._current: DictConfig | None = None

    def compose(self, words: Sequence[str]) -> DictConfig:
        """The configuration of a job's words, until the next call, which may change it; sets Hydra's settings."""
        parsed = [self._parse(word) for word in words]
        shareable = not any(override.is_delete() or isinstance(override.value(), dict) for override in parsed)
        plain = [override for override in parsed if shareable and self._is_plain(override)]
        pairs = zip(words, parsed, strict=True)
        shared = tuple(override.key_or_group if override in plain else word for word, override in pairs)
        if shared not in self._composed:
            self._composed[shared] = self._load(list(words))
        composed = self._composed[shared]
        if composed is not self._current:
            HydraConfig.instance().set_config(composed)
            self._current = composed
        for override in plain:
            OmegaConf.update(composed, override.key_or_group, override.value(), merge=True)
        settings: Any = HydraConfig.get()
        with read_write(settings):
            settings.overrides.task = list(words)
        return composed

    def _is_plain(self, override: Override) -> bool:
        """Whether it changes the value of a key, and chooses nothing."""
        key = override.key_or_group
        changes = override.type is OverrideType.CHANGE and not override.package and not key.startswith("hydra.")
        return changes and not self._is_group(key)


def compose_with(*overrides: str) -> dict[str, Any]:
    """Plain values of the command line that is being checked, with extra overrides."""
    settings = HydraConfig.get()
    words: Any = OmegaConf.to_container(settings.overrides.task)  # as they were written, with any ${...}
    return plain_values(hydra.compose(settings.job.config_name, [*words, *overrides]))


def available(group: str) -> list[str]:
    """Names of a group's choices while a command line is being checked, with those of a ``--config-dir``."""
    return list(GlobalHydra.instance().config_loader().get_group_options(group))


def plain_values(raw: DictConfig) -> dict[str, Any]:
    """Plain values without Hydra's own and the missing ones, which :func:`l2m.config.checking.check` reports."""
    own = OmegaConf.masked_copy(raw, [str(key) for key in raw if key != "hydra"]) if "hydra" in raw else raw
    with open_dict(own):
        for key in OmegaConf.missing_keys(own):
            group, _, option = key.rpartition(".")
            del (OmegaConf.select(own, group) if group else own)[option]
    container: Any = OmegaConf.to_container(own, resolve=True)
    return dict(container)


@cache
def _scratch() -> str:
    """A folder for the files that Hydra writes in a sweep, removed at exit."""
    folder = tempfile.TemporaryDirectory(prefix="l2m-")
    atexit.register(folder.cleanup)
    return folder.name


Plugins.instance().register(UserFolders)
OmegaConf.register_new_resolver("scratch", _scratch, replace=True)
OmegaConf.register_new_resolver("data_dir", lambda: os.environ.get("L2M_DATA_DIR") or "data", replace=True)
