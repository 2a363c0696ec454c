"""The command line: runs a command, reports errors in a sentence, and writes ``--help``."""
