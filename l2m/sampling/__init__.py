"""Batches of chosen group proportions, for any training loop: needs torch and numpy alone."""
