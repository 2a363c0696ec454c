"""The suite's Hydra plugins, where Hydra looks for them. Every command imports this module: it stays light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from l2m.cli.hydra_private import BasicLauncher


class Collector(BasicLauncher):
    """Composes the runs of a sweep here; :mod:`l2m.sweeps.launchers` then trains them as the settings say."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()


class Optuna(Sweeper):
    """Composes runs with values from Optuna; :mod:`l2m.sweeps.tuning` trains and judges them."""

    def __init__(self, params: Mapping[str, str] | None = None, **settings: Any) -> None:
        self._params, self._settings = params or {}, settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls it before :meth:`sweep`."""
        self.config, self._loader = config, hydra_context.config_loader
        self._launcher_settings = dict(config.hydra.launcher)
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Propose, compose and train until all trials are done."""
        from l2m.sweeps.tuning import tune

        self.validate_batch_is_legal([])
        words = [f"{key}={value}" for key, value in self._params.items()] + arguments
        overrides = OverridesParser.create(config_loader=self._loader).parse_overrides(words)
        last = {override.get_key_element(): override for override in overrides}  # the command line's come last

        def compose(batch: list[list[str]]) -> list[Any]:
            return [job.return_value for job in self._launcher.launch(batch, 0)]

        tune(list(last.values()), compose, self._settings, self._launcher_settings)
