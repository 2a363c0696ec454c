"""Configurations: what a run is, its identity, and how plain values or a command line become one."""
