"""The suite's Hydra plugins; Hydra takes them from this namespace alone. Imports nothing heavy: every command does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Collector(BasicLauncher):
    """Composes the runs of a sweep here; :mod:`l2m.sweeps.launchers` then sends the unfinished ones by the settings."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()


class Optuna(Sweeper):
    """Values that Optuna proposes: composes them, and lets :mod:`l2m.sweeps.tuning` train and judge them."""

    def __init__(self, params: Mapping[str, str] | None = None, **settings: Any) -> None:
        self._params, self._settings = params or {}, settings
        self._launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's, before :meth:`sweep`."""
        self.hydra_context, self.config = hydra_context, config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Ask, compose, train and tell, until all trials are done."""
        from l2m.sweeps.tuning import tune

        context, config, launcher = self.hydra_context, self.config, self._launcher
        if not (context and config and launcher):
            raise RuntimeError("setup comes before sweep")
        self.validate_batch_is_legal([])
        words = [f"{key}={value}" for key, value in self._params.items()] + arguments
        overrides = {}
        for override in OverridesParser.create(config_loader=context.config_loader).parse_overrides(words):
            overrides[override.get_key_element()] = override  # the command line's comes last

        def composed(batch: list[list[str]]) -> list[Any]:
            return [job.return_value for job in launcher.launch(batch, 0)]

        tune(list(overrides.values()), composed, self._settings, dict(config.hydra.launcher))
