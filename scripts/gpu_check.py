"""Check a GPU: that runs compute the same as on the CPU, and how fast they are.

python scripts/gpu_check.py
    everything that fits into 15 minutes, to outputs/gpu_check
python scripts/gpu_check.py --random-data --minutes 8
    without data sets: the checks and the small benchmark
python scripts/gpu_check.py --device cpu --random-data
    a rehearsal without a GPU, much smaller, in a minute or two

Each item passes, fails or is skipped with a reason; a failure stops no other
item. results.json and results.txt are written after each item, and --continue
keeps those that passed or failed. Each section first prints its cost on an
H100. An item is skipped if it would take longer than the minutes left.

Besides torch, torchvision and numpy the script needs the packages that --needs
prints. For a machine without a network, download their wheels on a machine with
the same Python version and processor, and copy them there:

    python scripts/gpu_check.py --needs > needs.txt
    pip wheel --no-deps -w wheels -r needs.txt
    pip install --no-index --no-deps --find-links wheels -r needs.txt

Data sets are optional; put them under data/, or name their folder with --data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import textwrap
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_items import Item
    from gpu_place import Place

ROOT = Path(__file__).resolve().parents[1]
NEEDS = (
    "antlr4-python3-runtime", "cloudpickle", "filelock", "hydra-core", "imbalanced-learn", "joblib", "loky", "narwhals",
    "omegaconf", "packaging", "pandas", "python-dateutil", "PyYAML", "rich", "scikit-learn", "scipy", "sklearn-compat",
    "threadpoolctl", "tzdata",
)  # fmt: skip
"""Packages that the checks and the benchmark import, and those that these need."""


class Results:
    """The items' results, in ``results.json`` and ``results.txt``; both files are complete at any time."""

    def __init__(self, folder: Path, head: dict[str, Any], keep: bool) -> None:
        self._folder, self.head = folder, head
        file = folder / "results.json"
        before = json.loads(file.read_text())["items"] if keep and file.exists() else []
        ended = [item for item in before if item["status"] in ("passed", "failed")]
        self.items = {(item["section"], item["name"]): item for item in ended}

    def write(self, section: str, name: str, status: str, detail: str, seconds: float = 0.0) -> str:
        """Write both files with an item's result, and return its line."""
        from l2m.files import write_whole

        item = {"section": section, "name": name, "status": status, "detail": detail, "seconds": round(seconds, 2)}
        self.items[section, name] = item
        content = {"head": self.head, "items": list(self.items.values())}
        write_whole(self._folder / "results.json", (json.dumps(content, indent=1) + "\n").encode())
        head = ", ".join(f"{key} {value}" for key, value in self.head.items())
        lines = "\n".join([head, *map(format_item, self.items.values())])
        write_whole(self._folder / "results.txt", f"{lines}\n".encode())
        return format_item(item)


def format_item(item: dict[str, Any]) -> str:
    """An item as text, in lines of at most 80 columns."""
    text = f"{item['status']:8} {item['section']}: {item['name']} ({item['seconds']:.1f} s): {item['detail']}"
    return textwrap.fill(text, 80, subsequent_indent=" " * 9, break_long_words=False, break_on_hyphens=False)


def run_items(place: Place, sections: dict[str, list[Item]], end: float, results: Results) -> None:
    """Run the items in turn; skip those that would end after ``end``, a time of the monotonic clock."""
    from gpu_place import SkipError

    waiting = [(name, item) for name, items in sections.items() for item in items]
    waiting = [(name, item) for name, item in waiting if (name, item.name) not in results.items]
    for name, item in waiting:
        results.write(name, item.name, "not reached", "the script ended before")
    for section, items in sections.items():
        items = [item for item in items if (section, item) in waiting]
        cost, left = sum(item.seconds for item in items), max(0, end - time.monotonic())
        print(f"{section}: {len(items)} items, about {cost:.0f} s on an H100; {left:.0f} s are left", flush=True)
        last = 0.0
        for item in items:
            expected = last or item.seconds
            if (left := end - time.monotonic()) < expected:
                reason = f"takes about {expected:.0f} s, and {max(0, left):.0f} s are left"
                print(results.write(section, item.name, "skipped", reason), flush=True)
                continue
            began = time.monotonic()
            try:
                status, detail = "passed", item.run()
            except SkipError as reason:
                status, detail = "skipped", str(reason)
            except (Exception, SystemExit) as error:
                stderr = getattr(error, "stderr", "") or ""  # if another process failed
                status, detail = "failed", f"{type(error).__name__}: {error} {stderr}".strip()
                traceback.print_exc()
            seconds = time.monotonic() - began
            print(results.write(section, item.name, status, detail, seconds), flush=True)
            if status == "passed" and section in ("imagenette", "imdb"):
                last = seconds  # the next run takes about as long
            if status == "failed" and place.on_gpu and is_gpu_lost():
                shutil.rmtree(place.scratch)
                minutes = (end - time.monotonic()) / 60  # this process can no longer use the GPU
                os.execv(sys.executable, [sys.executable, *sys.argv, "--continue", f"--minutes={minutes:.2f}"])


def is_gpu_lost() -> bool:
    """Whether an error has left this process without a usable GPU."""
    import torch

    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0, help="time limit of the script (15)")
    parser.add_argument("--folder", type=Path, default=Path("outputs/gpu_check"), help="folder of the results")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("L2M_DATA_DIR", "data")), help="data folder")
    parser.add_argument("--random-data", action="store_true", help="use random images even if MNIST is present")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="any of checks, bench, together, imagenette, imdb")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu, which implies --quick")
    parser.add_argument("--quick", action="store_true", help="tiny data and models, to try the script itself")
    parser.add_argument("--continue", dest="keep", action="store_true", help="keep what passed or failed before")
    parser.add_argument("--needs", action="store_true", help="print the packages needed, and exit")
    options = parser.parse_args(arguments)
    if options.needs:
        pins = [pin.partition(" ;")[0] for pin in (ROOT / "constraints.txt").read_text().splitlines()]
        print("\n".join(pin for pin in pins if pin.partition("==")[0] in NEEDS))
        return
    end = time.monotonic() + 60 * options.minutes
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # works without an installed l2m
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

    import torch

    from gpu_items import SECTIONS
    from gpu_place import Place, write_random_mnist
    from l2m import UserError
    from l2m.records.provenance import device_name, now, provenance
    from l2m.training.device import choose_device

    if unknown := set(options.only or ()) - set(SECTIONS):
        parser.error(f"--only {' '.join(sorted(unknown))} must be among {', '.join(SECTIONS)}")
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {options.device} needs a GPU that torch can see: try the script with --device cpu")
    try:
        device = choose_device(options.device)
    except UserError as error:
        parser.error(str(error))
    quick = options.quick or device.type == "cpu"
    head = {
        "began": now(), "commit": provenance(device)["commit"], "device": device_name(device),
        "torch": str(torch.__version__), "cuda": torch.version.cuda, "quick": quick,
    }  # fmt: skip
    options.folder.mkdir(parents=True, exist_ok=True)
    folder, data = options.folder.resolve(), options.data.resolve()
    results = Results(folder, head, options.keep)
    with tempfile.TemporaryDirectory() as scratch:
        mnist = data
        if options.random_data or quick or not (data / "MNIST" / "raw").is_dir():
            mnist = Path(scratch) / "data"
            write_random_mnist(mnist / "MNIST" / "raw", *((240, 40) if quick else (6000, 1000)))
        results.head["mnist"] = "real" if mnist == data else "random"
        place = Place(str(device), quick, data, mnist, folder, Path(scratch))
        run_items(place, {name: SECTIONS[name](place) for name in options.only or SECTIONS}, end, results)
    counts = Counter(item["status"] for item in results.items.values())
    print(f"{', '.join(f'{count} {status}' for status, count in counts.items())}: {folder / 'results.txt'}")
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
