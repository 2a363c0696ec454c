"""Damage to files that knows nothing of their format, and what a reader must do then."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, product
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import md5

from l2m.data import Data

Change = Callable[[bytes], bytes]


def flipped(at: float) -> Change:
    """All bits of the byte at this share of the file."""

    def change(content: bytes) -> bytes:
        place = int(at * (len(content) - 1))
        return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]

    return change


CHANGES: dict[str, Change] = {
    "empty": lambda b: b"",
    "one byte": lambda b: b[:1],
    "seven bytes": lambda b: b[:7],
    "a third": lambda b: b[: len(b) // 3],
    "a byte less": lambda b: b[:-1],
    "a byte more": lambda b: b + b"\0",
    "its first byte less": lambda b: b[1:],
    "twice": lambda b: b + b,
    "zeros": lambda b: bytes(len(b)),
    "ones": lambda b: b"\xff" * len(b),
    "noise": lambda b: np.random.default_rng(0).bytes(len(b)),
    "backwards": lambda b: b[::-1],
    "first byte flipped": flipped(0),
    "middle byte flipped": flipped(0.5),
    "last byte flipped": flipped(1),
    "a hole": lambda b: b[: len(b) // 2] + bytes(min(len(b), 512)) + b[len(b) // 2 + 512 :],
    "a page": lambda b: b"<!DOCTYPE html>\n<html><body>404, not found</body></html>\n",
    "packed": gzip.compress,
    "UTF-16": lambda b: b.decode("latin1").encode("utf-16"),
    "old line ends": lambda b: b.replace(b"\n", b"\r"),
}


def remove(file: Path) -> None:
    file.unlink()


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def pipe(file: Path) -> None:
    """Reading it would wait for a writer that never comes."""
    file.unlink()
    os.mkfifo(file)


def endless(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def nowhere(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def itself(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


REPLACEMENTS: dict[str, Callable[[Path], None]] = {
    "missing": remove, "a folder": folder, "a pipe": pipe, "a device": endless, "a dangling link": nowhere,
    "a link to itself": itself,
}  # fmt: skip
ABSENT = ("missing", "a dangling link", "a link to itself")
"""A reader may report these as a missing data set, and name its folder."""

KINDS = (*CHANGES, *REPLACEMENTS)

SORTS = ("empty", "a third", "a byte more", "noise", "a page", "missing", "a pipe")
"""One kind of each sort: cut off, longer, other bytes, another format, absent, not a regular file."""


def each_kind(files: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a file and a kind of damage, so that every kind occurs once and the files take turns."""
    return list(zip(cycle(files), KINDS, strict=False))


def each_sort(files: Sequence[str]) -> list[tuple[str, str]]:
    """Every sort of damage to every file, and each of the other kinds to one of them."""
    return [*product(files, SORTS), *((file, kind) for file, kind in each_kind(files) if kind not in SORTS)]


def damage(file: Path, kind: str) -> None:
    """Damage a file, which may be a hard link: its content stays under its other names."""
    if kind in REPLACEMENTS:
        REPLACEMENTS[kind](file)
    else:
        put(file, CHANGES[kind](file.read_bytes()))


def put(file: Path, content: bytes) -> None:
    """Write new content under this name; other hard links keep the old one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def linked(source: Path, target: Path) -> Path:
    """Copy a folder; the copies are hard links."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


def publish(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Expect the MD5 sum of this file, as if CIFAR-10 had been published with it."""
    from l2m.data.torchvision_import import torchvision

    kind = torchvision.datasets.CIFAR10
    for attribute in ("train_list", "test_list"):
        listed = [[name, md5(file) if name == file.name else sum] for name, sum in getattr(kind, attribute)]
        monkeypatch.setattr(kind, attribute, listed)
    if kind.meta["filename"] == file.name:
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(file)})


class Hang(BaseException):
    """Raised in code that takes too long; no ``except Exception`` catches it."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


REMEDY = re.compile(r"(?:: |, | or )(?:put|fetch|download|save|remove|fix|drop|name|use|make room|choose)\b")


def assert_sentence(message: str, *places: Path) -> None:
    """Assert that a message is one short printable line which names one of the places and says what to do."""
    assert message.isprintable(), message
    assert len(message) < 1500
    assert any(str(place) in message for place in places), message
    assert REMEDY.search(message), message
    assert "Traceback" not in message


def assert_valid(data: Data) -> None:
    """Assert that a data set can be trained on: groups and classes in range, none empty, all numbers finite."""
    k = len(data.group_names)
    for split in (data.train, data.test):
        targets = split.groups if split.targets is None else split.targets
        assert len(split.inputs) == len(targets) == len(split.groups)
        assert (torch.bincount(split.groups, minlength=k) > 0).all()
        assert int(split.groups.max()) < k
        assert split.inputs.shape[1:] == data.train.inputs.shape[1:]
        assert split.inputs.float().isfinite().all()
        assert targets.float().isfinite().all()
        if data.vocabulary_size:
            assert 0 <= int(split.inputs.min()) <= int(split.inputs.max()) < data.vocabulary_size
        if data.classes:
            assert 0 <= int(targets.min()) <= int(targets.max()) < data.classes
