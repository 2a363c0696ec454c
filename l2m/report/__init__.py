"""Reports: pure functions of records. Nothing here trains, and nothing is typed by hand."""
