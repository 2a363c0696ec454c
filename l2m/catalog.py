"""Imports the registries of all choices and sets them in :mod:`l2m.config`, which imports none of them."""

from l2m.config.choices import REGISTRIES, registries
from l2m.data import DATASETS, RECIPES
from l2m.loggers import LOGGERS
from l2m.mixing import MIXINGS
from l2m.models import MODELS
from l2m.optimizers import OPTIMIZERS
from l2m.strategies import STRATEGIES

__all__ = ["registries"]

every = DATASETS, RECIPES, MODELS, STRATEGIES, OPTIMIZERS, MIXINGS, LOGGERS
REGISTRIES.update({registry.kind: registry for registry in every})
