"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from l2m.files import write_whole


def test_a_file_is_replaced_whole_in_a_folder_that_is_made(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "file.csv"
    for content in (b"a longer first", b"second"):
        write_whole(file, content)
        assert file.read_bytes() == content
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("stage", ["write_bytes", "replace"])
def test_what_can_not_be_written_leaves_all_as_it_was(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is full half way through, or where the place is taken."""
    file = tmp_path / "file.csv"
    write_whole(file, b"first")

    def full(part: Path, *_: object) -> None:
        with part.open("wb") as stream:
            stream.write(b"sec")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, stage, full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"second")
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]
