"""What ``make bench`` measures. A speed is a ratio of two things run in turns: its median and quartiles over rounds."""
