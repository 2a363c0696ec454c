"""Try the wheel beside torch and numpy alone, then the tests with the oldest and the newest torch.

Each has an environment of its own in a temporary folder, which is removed: up to 6 GB with CUDA's libraries. Packages
come from where pip finds them. ``make test-long`` runs all; ``python scripts/try_versions.py newest`` one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAIRS = {"oldest": ("torch==2.11.0", "torchvision==0.26.0"), "newest": ("torch==2.14.1", "torchvision==0.29.1")}
"""The ends of pyproject.toml's ranges; raise the second with every release that passes."""


def try_wheel(folder: Path) -> None:
    """Build the wheel, install it without what it depends on, and draw batches."""
    python = make_environment(folder)
    call(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    (wheel,) = folder.glob("learn2mix-*.whl")
    call(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "torch", "numpy")
    call(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    call(python, ROOT / "tests" / "sampling" / "torch_alone.py", cwd=folder)
    call(python.with_name("l2m"), "--version", cwd=folder)


def try_pair(folder: Path, pair: tuple[str, str]) -> None:
    """Run the tests with these versions of torch and torchvision, and all else as ``make`` installs it."""
    python = make_environment(folder)
    others = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not is_pinned(line)]
    (folder / "constraints.txt").write_text("\n".join(others))
    call(python, "-m", "pip", "install", "--quiet", "-c", folder / "constraints.txt", *pair, "-e", f"{ROOT}[dev]")
    call(python, "-m", "pytest", "-n", "auto", "--dist", "worksteal", "-m", "not extras and not long", cwd=ROOT)


def is_pinned(line: str) -> bool:
    """Whether a line of constraints.txt pins what comes with the pair."""
    name = line.partition("==")[0]
    return name in ("torch", "torchvision", "triton", "setuptools") or name.startswith(("nvidia-", "cuda-"))


def make_environment(folder: Path) -> Path:
    """The Python of a new environment."""
    call(Path(sys.executable), "-m", "venv", folder / "environment")
    return folder / "environment" / "bin" / "python"


def call(program: Path, *words: str | Path, cwd: Path | None = None) -> None:
    """Run a program, and stop if it fails."""
    subprocess.run([program, *words], cwd=cwd, check=True)


def main() -> None:
    for name in sys.argv[1:] or ["wheel", *PAIRS]:
        print(f"trying the {name}{' torch' if name in PAIRS else ''}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            if name == "wheel":
                try_wheel(Path(folder))
            else:
                try_pair(Path(folder), PAIRS[name])


if __name__ == "__main__":
    main()
