"""Configurations from the words of a command line, through Hydra, which nothing above this module knows."""

from __future__ import annotations

import atexit
import os
import tempfile
from functools import cache
from typing import Any

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict

from l2m.config.checking import check
from l2m.config.override_errors import explain
from l2m.config.run import RunConfig
from l2m.config.user_folders import added, conf_dir, using
from l2m.errors import UserError


class AddedFolders(SearchPathPlugin):
    """Lets Hydra look into the users' folders after the suite's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in added():
            search_path.append("l2m", f"file://{folder}")


def compose(*overrides: str, config_dir: str | os.PathLike[str] | None = None) -> RunConfig:
    """The configuration that the command line ``python -m l2m.run *overrides`` means.

    Args:
        config_dir: a folder of your own choices, as ``--config-dir`` names it (:mod:`l2m.config.user_folders`).

    Raises:
        UserError: what is wrong with it, in sentences.
    """
    with using(config_dir):
        try:
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
                return check(plain_values(hydra.compose("config", overrides=list(overrides))))
        except Exception as error:
            if sentence := explain(error):
                raise UserError(sentence) from error
            raise


def compose_with(*overrides: str) -> dict[str, Any]:
    """Plain values of the command line that is being checked, with more overrides."""
    settings = HydraConfig.get()
    return plain_values(hydra.compose(settings.job.config_name, [*settings.overrides.task, *overrides]))


def available(group: str) -> list[str]:
    """Names of a group's choices while a command line is checked, those of a ``--config-dir`` among them."""
    return list(GlobalHydra.instance().config_loader().get_group_options(group))


def plain_values(raw: DictConfig) -> dict[str, Any]:
    """Plain values; what has none is left out, for :func:`l2m.config.checking.check` to report."""
    with open_dict(raw):
        for key in OmegaConf.missing_keys(raw):
            group, _, option = key.rpartition(".")
            del (OmegaConf.select(raw, group) if group else raw)[option]
    container: Any = OmegaConf.to_container(raw, resolve=True)
    return dict(container)


@cache
def _scratch() -> str:
    """A folder for what Hydra writes of a sweep, removed at exit."""
    folder = tempfile.TemporaryDirectory(prefix="l2m-")
    atexit.register(folder.cleanup)
    return folder.name


Plugins.instance().register(AddedFolders)
OmegaConf.register_new_resolver("scratch", _scratch, replace=True)
OmegaConf.register_new_resolver("data_dir", lambda: os.environ.get("L2M_DATA_DIR") or "data", replace=True)
