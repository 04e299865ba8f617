"""Labels of concepts from texts."""

from __future__ import annotations

import pytest

from soundalike.audio import TrackLabels, read_labels
from soundalike.core.errors import UsageError


def test_labels_of_an_item() -> None:
    found = read_labels({"genre": "rock, pop,", "era": "1990s", "tempo": "97.5", "key": "Bbm", "song": "x"})
    assert found == TrackLabels(genre=("rock", "pop"), era=("1990s",), tempo=97.5, key="A# minor")
    assert read_labels({"genre": "", "tempo": " ", "key": ""}) == TrackLabels()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"tempo": "fast"}, "the tempo is 'fast'; expected a number of BPM"),
        ({"tempo": "nan"}, "the tempo is nan; expected 20 to 400 BPM"),
        ({"tempo": "900"}, "the tempo is 900; expected 20 to 400 BPM"),
        ({"key": "atonal"}, "the key is 'atonal'; expected one such as 'F# minor'"),
    ],
)
def test_labels_that_cannot_be_read(labels: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        read_labels(labels)
