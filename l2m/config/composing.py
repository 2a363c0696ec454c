"""Composes configurations from command-line overrides, with Hydra."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict

from l2m.config.checking import check
from l2m.config.override_errors import describe_user_error
from l2m.config.run import RunConfig
from l2m.config.user_folders import conf_dir, find_user_folders, use_folder
from l2m.errors import UserError

T = TypeVar("T")


class UserFolders(SearchPathPlugin):
    """Adds the users' folders to Hydra's search path, after the suite's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in find_user_folders():
            search_path.append("l2m", f"file://{folder}")


def compose(*overrides: str, config_dir: str | os.PathLike[str] | None = None) -> RunConfig:
    """The configuration of the command line ``python -m l2m.run *overrides``.

    Args:
        config_dir: a folder with your own choices, as in ``--config-dir`` (:mod:`l2m.config.user_folders`).

    Raises:
        UserError: the overrides or the folder are not valid.
    """
    with use_folder(config_dir):
        return compose_checked("config", overrides, check)


def compose_checked(name: str, overrides: Sequence[str], check: Callable[[dict[str, Any]], T]) -> T:
    """What ``check`` makes of the values of ``conf/<name>.yaml`` with overrides; it may call :func:`compose_with`.

    Raises:
        UserError: the overrides are not valid.
    """
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            raw = hydra.compose(name, list(overrides), return_hydra_config=True)
            HydraConfig.instance().set_config(raw)
            with open_dict(raw):
                del raw["hydra"]
            return check(plain_values(raw))
    except Exception as error:
        if sentence := describe_user_error(error):
            raise UserError(sentence) from error
        raise


def compose_with(*overrides: str) -> dict[str, Any]:
    """Plain values of the command line that is being checked, with extra overrides."""
    settings = HydraConfig.get()
    return plain_values(hydra.compose(settings.job.config_name, [*settings.overrides.task, *overrides]))


def available(group: str) -> list[str]:
    """Names of a group's choices while a command line is being checked, with those of a ``--config-dir``."""
    return list(GlobalHydra.instance().config_loader().get_group_options(group))


def plain_values(raw: DictConfig) -> dict[str, Any]:
    """Plain values without the missing ones, which :func:`l2m.config.checking.check` reports."""
    with open_dict(raw):
        for key in OmegaConf.missing_keys(raw):
            group, _, option = key.rpartition(".")
            del (OmegaConf.select(raw, group) if group else raw)[option]
    container: Any = OmegaConf.to_container(raw, resolve=True)
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
