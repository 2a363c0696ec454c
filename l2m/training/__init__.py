"""Training: the loop over epochs, its device, and a run from its configuration to its records."""
