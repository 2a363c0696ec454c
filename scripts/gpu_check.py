"""Check on a GPU what no CPU can show: that runs compute the same there, and how fast they are.

python scripts/gpu_check.py                             all that fits into 15 minutes, to outputs/gpu_check
python scripts/gpu_check.py --random-data --minutes 8   without data sets: the checks and the small benchmark
python scripts/gpu_check.py --device cpu --random-data  a rehearsal without a GPU, much smaller, in about a minute

Each item passes, fails or is skipped with its reason, and stops no other. results.json and results.txt are written
after each; --continue keeps the items that have ended. Every section says beforehand what it costs on an H100, and an
item is skipped if the minutes left do not reach.

Besides torch, torchvision and numpy the script needs the packages listed in NEEDS. For a machine without a network,
fetch their wheels on another one with the same Python version and processor, and carry them with the checkout:

    python scripts/gpu_check.py --needs > needs.txt
    pip wheel --no-deps -w wheels -r needs.txt
    pip install --no-index --no-deps --find-links wheels -r needs.txt

Data sets are optional; put them under data/, or name another folder with --data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_items import Item, Place

ROOT = Path(__file__).resolve().parents[1]
NEEDS = """
antlr4-python3-runtime==4.9.3
cloudpickle==3.1.2
filelock==4.2.11
hydra-core==1.3.8
imbalanced-learn==0.14.2
joblib==1.6.0
loky==3.7.0
narwhals==2.28.0
omegaconf==2.3.1
packaging==26.3
pandas==3.1.1
python-dateutil==4.0.0
PyYAML==6.0.3
rich==15.0.0
scikit-learn==1.9.1
scipy==1.17.1
sklearn-compat==0.1.6
threadpoolctl==3.8.0
tzdata==2026.6
"""
"""What the checks and the benchmark import, as constraints.txt pins it."""


class Results:
    """What the items gave, in ``results.json`` and ``results.txt``; both are whole at any time."""

    def __init__(self, folder: Path, head: dict[str, Any], keep: bool) -> None:
        self._folder, self.head = folder, head
        file = folder / "results.json"
        before = json.loads(file.read_text())["items"] if keep and file.exists() else []
        self.items = {(one["section"], one["name"]): one for one in before if one["status"] in ("passed", "failed")}

    def set(self, section: str, name: str, status: str, detail: str, seconds: float = 0.0) -> str:
        """Write down an item, and return its line."""
        from l2m.files import write_whole

        given = (section, name, status, detail, round(seconds, 2))
        self.items[section, name] = dict(zip(("section", "name", "status", "detail", "seconds"), given, strict=True))
        content = {"head": self.head, "items": list(self.items.values())}
        write_whole(self._folder / "results.json", (json.dumps(content, indent=1) + "\n").encode())
        lines = [", ".join(f"{key} {value}" for key, value in self.head.items()), *map(line, self.items.values())]
        write_whole(self._folder / "results.txt", ("\n".join(lines) + "\n").encode())
        return line(self.items[section, name])


def line(item: dict[str, Any]) -> str:
    """An item as a line of text."""
    detail = " ".join(item["detail"].split())
    return f"{item['status']:11} {item['section']}: {item['name']} ({item['seconds']:.1f} s): {detail}"


def check(place: Place, sections: dict[str, list[Item]], end: float, results: Results) -> None:
    """Do all items in turn, as far as they are done by ``end``, a time of the monotonic clock."""
    from gpu_items import SkipError

    waiting = [(name, item) for name, items in sections.items() for item in items]
    waiting = [(name, item) for name, item in waiting if (name, item.name) not in results.items]
    for name, item in waiting:
        results.set(name, item.name, "not reached", "the script ended before")
    for section, items in sections.items():
        items = [item for item in items if (section, item) in waiting]
        cost, left = sum(item.seconds for item in items), max(0, end - time.monotonic())
        print(f"{section}: {len(items)} items, about {cost:.0f} s on an H100; {left:.0f} s are left", flush=True)
        last = 0.0
        for item in items:
            expected = last or item.seconds
            if (left := end - time.monotonic()) < expected:
                reason = f"takes about {expected:.0f} s, and {max(0, left):.0f} s are left"
                print(results.set(section, item.name, "skipped", reason), flush=True)
                continue
            began = time.monotonic()
            try:
                status, detail = "passed", item.run()
            except SkipError as reason:
                status, detail = "skipped", str(reason)
            except (Exception, SystemExit) as error:
                detail = f"{type(error).__name__}: {error} {getattr(error, 'stderr', '') or ''}"  # of another process
                status, detail = "failed", detail.strip()
                traceback.print_exc()
            seconds = time.monotonic() - began
            print(results.set(section, item.name, status, detail, seconds), flush=True)
            if status == "passed" and section in ("imagenette", "imdb"):
                last = seconds  # what the next run will take
            if status == "failed" and place.on_gpu and is_lost():
                shutil.rmtree(place.scratch)
                minutes = (end - time.monotonic()) / 60  # no later item of this process could use the GPU
                os.execv(sys.executable, [sys.executable, *sys.argv, "--continue", f"--minutes={minutes:.2f}"])


def is_lost() -> bool:
    """Whether an error has left this process without a usable GPU."""
    import torch

    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0, help="that the script may take (15)")
    parser.add_argument("--folder", type=Path, default=Path("outputs/gpu_check"), help="where results are written")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("L2M_DATA_DIR", "data")), help="data sets")
    parser.add_argument("--random-data", action="store_true", help="random images for MNIST, though it is there")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="of checks, bench, imagenette, imdb")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu, which implies --quick")
    parser.add_argument("--quick", action="store_true", help="tiny data and models: try the script itself")
    parser.add_argument("--continue", dest="keep", action="store_true", help="keep what has passed or failed before")
    parser.add_argument("--needs", action="store_true", help="print the packages that are needed, and end")
    options = parser.parse_args(arguments)
    if options.needs:
        print(NEEDS.strip())
        return
    end = time.monotonic() + 60 * options.minutes
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # the package need not be installed
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

    import torch

    from gpu_items import SECTIONS, Place, write_random_mnist
    from l2m.records.provenance import device_name, now, provenance
    from l2m.training.device import choose_device

    if unknown := set(options.only or ()) - set(SECTIONS):
        parser.error(f"--only {' '.join(sorted(unknown))} must be of {', '.join(SECTIONS)}")
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {options.device} needs a GPU that torch can see: try the script with --device cpu")
    quick = options.quick or options.device == "cpu"
    device = choose_device(options.device)
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
        place = Place(options.device, quick, data, mnist, folder, Path(scratch))
        check(place, {name: SECTIONS[name](place) for name in options.only or SECTIONS}, end, results)
    counts = Counter(item["status"] for item in results.items.values())
    print(f"{', '.join(f'{count} {status}' for status, count in counts.items())}: {folder / 'results.txt'}")
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
