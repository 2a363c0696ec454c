"""Reports of any results folder: reading runs, statistics, drawing, and the summary."""
