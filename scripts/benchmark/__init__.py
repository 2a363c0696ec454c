"""What ``make bench`` measures. A speed is a ratio of things run in turns; its median and quartiles are told."""
