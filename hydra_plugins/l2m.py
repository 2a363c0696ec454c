"""The suite's Hydra plugins, where Hydra looks for them. Every command imports this module: it stays light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class Collector(Launcher):
    """Composes the runs of a sweep here; :mod:`l2m.sweeps.launchers` then trains them as the settings say."""

    def __init__(self, **settings: Any) -> None:
        """The settings are read where the runs are trained."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls it before :meth:`launch`."""
        from l2m.config.composing import SweepComposer

        loader = hydra_context.config_loader
        self._composer = SweepComposer(lambda words: loader.load_sweep_config(config, words), loader)
        self._task = task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Compose each job and pass it to the command."""
        return [self._pass_on(words) for words in job_overrides]

    def _pass_on(self, words: Sequence[str]) -> JobReturn:
        done = JobReturn()
        done.return_value, done.status = self._task(self._composer.compose(words)), JobStatus.COMPLETED
        return done


class Optuna(Sweeper):
    """Composes runs with values from Optuna; :mod:`l2m.sweeps.tuning` trains and judges them."""

    def __init__(self, params: Mapping[str, str] | None = None, **settings: Any) -> None:
        self._params, self._settings = params or {}, settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls it before :meth:`sweep`."""
        self.config, self._loader = config, hydra_context.config_loader
        self._launcher_settings: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
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
