"""Configurations of runs: their fields and identity, and how to make them from plain values or a command line."""
