"""The memory that training takes on folders of images, measured in a process of its own; needs Linux's account."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = """
import re, sys, threading, time
import numpy as np, torch
import l2m, l2m.data.torchvision_import

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.005)

def run(folder, storage):
    peak[0] = 0
    config = l2m.compose(
        "dataset=image_folder", f"dataset.path={folder}", f"dataset.storage={storage}", "epochs=1", "batch_size=8",
        "threads=1", "device=cpu", "model=mlp", "model.hidden=4", f"results_dir={storage}", *sys.argv[2:],
    )
    l2m.train(config)
    return peak[0]

peak = [0]
threading.Thread(target=watch, daemon=True).start()
print(-run("few", "mapped") + run("many", sys.argv[1]))
"""


def write_images(folder: Path, side: int, rng: np.random.Generator, count: int) -> None:
    """So many random images of each of two classes."""
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.png")


def measure_beyond(folder: Path, storage: str, *overrides: str, before: str = "") -> float:
    """MiB that training on ``many`` of ``folder`` takes beyond that on ``few`` with a mapped file.

    ``before`` is run by the process first.
    """
    returning = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # or glibc keeps what is freed, and it is counted
    command = [sys.executable, "-c", before + SCRIPT, storage, *overrides]
    ran = subprocess.run(command, cwd=folder, env=returning, capture_output=True, text=True, check=True)
    return float(ran.stdout.splitlines()[-1])
