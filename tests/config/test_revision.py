"""What gave other numbers before under the same options has an identity of its own."""

from __future__ import annotations

import pytest

from l2m import compose
from l2m.config.run import RunConfig


@pytest.mark.parametrize(
    ("overrides", "group", "revision"),
    [
        (("dataset=wine_quality",), "dataset", 2),
        (("dataset=imdb",), "dataset", 2),
        (("dataset=imdb",), "model", 2),
        (("dataset=mnist",), "dataset", None),
        (("dataset=mnist",), "model", None),
    ],
)
def test_the_revision_is_in_the_identity_and_not_in_the_file(
    overrides: tuple[str, ...], group: str, revision: int | None
) -> None:
    config: RunConfig = compose(*overrides)
    assert config.identity()[group].get("revision") == revision
    assert "revision" not in config.to_dict()[group]


def test_digests_of_records_stay() -> None:
    assert compose("dataset=mnist", "strategy=learn2mix").digest() == "c7a580b8"
    assert compose("dataset=wine_quality", "strategy=learn2mix").digest() == "57f388ac"
