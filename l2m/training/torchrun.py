"""What torchrun says of the processes that it has started; without torch, which takes seconds to import."""

import os

from l2m.errors import UserError


def processes_of_torchrun() -> int:
    """How many processes torchrun has started for this command; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def refuse_torchrun(command: str) -> None:
    """Raise a UserError if torchrun has started several processes, each of which would do all of ``command``."""
    if (count := processes_of_torchrun()) > 1:
        raise UserError(
            f"torchrun divides one run among processes, and each of its {count} would do all of {command}: start it "
            "without torchrun"
        )
