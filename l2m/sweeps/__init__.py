"""Many runs: the plan, launchers, progress, and the search for good values."""
