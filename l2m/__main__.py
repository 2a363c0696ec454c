"""``l2m``, also ``python -m l2m``: all commands behind one name. Nothing is imported before a command is chosen."""

import os
import sys
from contextlib import redirect_stderr
from glob import escape, glob
from importlib import import_module

from l2m import __version__
from l2m.cli import interrupts
from l2m.errors import did_you_mean, shown

COMMANDS = {
    "run": "train a run, or with -m a sweep",
    "compare": "compare strategies on one data set, and advise one",
    "study": "run studies of the paper's claims",
    "predict": "score new samples with a trained model, or export it",
    "summary": "print a summary of a results folder, and draw it",
    "tables": "write the paper's tables from a results folder",
    "figures": "draw a results folder, as figures and as a page",
    "pack": "compress the large tables of finished runs",
}
REPORTS = ("summary", "tables", "figures", "pack")


def main() -> None:
    """Run the command that the first word names."""
    command, *words = sys.argv[1:] or [""]
    if "--version" in (command, *words):
        print(f"learn2mix {__version__}")
    elif command in ("-sc", "--shell-completion"):
        _complete(words)
    elif command in COMMANDS:
        interrupts.end_quietly()
        sys.argv = [f"l2m {command}", *words]
        if command in REPORTS:
            getattr(import_module("l2m.cli.reports"), command)()
        else:
            import_module(f"l2m.{command}").main()
    elif command in ("", "-h", "--help"):
        print("Training under imbalance, reproducibly.\n")
        print(*(f"  l2m {name:9}{purpose}" for name, purpose in COMMANDS.items()), sep="\n")
        print("\nl2m COMMAND --help describes a command, and l2m --version prints the version.")
        sys.exit(0 if command else 2)
    else:
        near = did_you_mean(command, COMMANDS)
        sys.exit(f"error: {shown(command, 60)} is not a command{near}: choose one of {', '.join(COMMANDS)}")


def _complete(words: list[str]) -> None:
    """Answer the scripts with which Hydra completes the line ``COMP_LINE`` in bash, zsh and fish."""
    line = os.environ.get("COMP_LINE", "").partition(" ")[2].lstrip()
    command, space, line = line.partition(" ")
    last = line.rpartition(" ")[2]
    sys.argv[0] = "l2m"  # Hydra completes the program of this name
    if not words or not words[0].startswith("query"):  # to print such a script
        import_module("l2m.run").main()
    elif not space:
        print(*COMMANDS, sep="\n")
    elif command == "predict":
        key, equals, path = last.partition("=")
        keys = import_module("l2m.predict").Request.__dataclass_fields__
        print(*(f"{key}={file}" for file in glob(f"{escape(path)}*")) if equals else map("{}=".format, keys), sep="\n")
    elif command in COMMANDS and command not in REPORTS and not last.startswith("-"):  # else the shell names files
        os.environ["COMP_LINE"] = f"l2m {line}"
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):  # an unfinished line may have errors
            import_module(f"l2m.{command}").main()


if __name__ == "__main__":
    main()
