"""Comparisons of strategies on one data set: ``python -m l2m.compare``."""
