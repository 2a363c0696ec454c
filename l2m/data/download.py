"""Downloads of data sets, and the files that are kept of them."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from l2m.errors import UserError, cause
from l2m.files import replacing, reporting

WRITE_REMEDY = "make room there, or choose a data_dir that can be written to"


@contextmanager
def downloading(missing: str) -> Iterator[None]:
    """Raise any error of a download as a UserError; ``missing`` says what is not there and where to put it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of every retry
            yield
    except UserError:
        raise
    except Exception as error:  # whatever the network, the server, the archive or a parser says
        raise UserError(
            f"{missing}, or name the folder that holds it with data_dir= (the download failed: {cause(error)})"
        ) from error


def copy_missing(source: Path, target: Path) -> None:
    """Copy the files of a folder and its subfolders that ``target`` lacks; a UserError if one cannot be written."""
    for file in source.rglob("*"):
        place = target / file.relative_to(source)
        if file.is_file() and not place.exists():
            with reporting("written", place, WRITE_REMEDY), replacing(place) as part:
                shutil.copyfile(file, part)
