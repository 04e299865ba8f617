"""Labels of tracks, and when two tracks are alike in a concept."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.core.errors import UsageError
from soundalike.train.concepts.labels import TrackLabels, alike, alike_matrix, decade_of, find_unusable


def naive_tempo(a: float, b: float) -> bool:
    """Whether two tempi are alike, by halving the faster one until it is slower than the other."""
    slow, fast = sorted((a, b))
    while fast >= slow - 5:
        if abs(slow - fast) <= 5:
            return True
        fast /= 2
    return False


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(120, 125, True), (120, 126, False), (64, 126, True), (60, 240, True), (90, 120, False), (50, 111, False)],
)
def test_tempi_are_alike_within_a_margin_of_any_octave(a: float, b: float, expected: bool) -> None:
    assert alike("tempo", TrackLabels(tempo=a), TrackLabels(tempo=b)) is expected
    assert alike("tempo", TrackLabels(tempo=b), TrackLabels(tempo=a)) is expected


def test_the_matrix_of_tempi_equals_a_loop() -> None:
    tempi = np.random.default_rng(0).uniform(20, 400, 60)
    found = alike_matrix("tempo", [TrackLabels(tempo=float(tempo)) for tempo in tempi])
    assert found.tolist() == [[int(naive_tempo(a, b)) for b in tempi] for a in tempi]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [("A minor", "A major", True), ("A minor", "A minor", True), ("A minor", "C major", False)],
)
def test_keys_are_alike_if_they_are_the_same_or_parallel(a: str, b: str, expected: bool) -> None:
    assert alike("key", TrackLabels(key=a), TrackLabels(key=b)) is expected


def test_tags_are_alike_if_they_share_a_label_in_any_case() -> None:
    jazz, both, rock = (TrackLabels(genre=tags) for tags in (("Jazz",), ("jazz ", "Funk"), ("Rock",)))
    assert alike("genre", jazz, both) is True
    assert alike("genre", both, rock) is False


@pytest.mark.parametrize("concept", ["genre", "mood", "instrument", "era", "tempo", "key"])
def test_what_is_not_labelled_is_unknown(concept) -> None:
    full = TrackLabels(("Jazz",), ("calm",), ("piano",), ("1960s",), 120.0, "C major")
    assert alike(concept, full, TrackLabels()) is None
    assert alike_matrix(concept, [full, TrackLabels(), full]).tolist() == [[1, -1, 1], [-1, -1, -1], [1, -1, 1]]


def test_the_matrix_of_tags_equals_a_loop() -> None:
    rng = np.random.default_rng(1)
    labels = [TrackLabels(mood=tuple(rng.choice(list("abcdef"), rng.integers(0, 4), replace=False))) for _ in range(40)]
    expected = [
        [(-1 if not a.mood or not b.mood else int(bool({*a.mood} & {*b.mood}))) for b in labels] for a in labels
    ]
    assert alike_matrix("mood", labels).tolist() == expected


def test_impossible_labels_are_refused() -> None:
    with pytest.raises(UsageError, match="the year is 19999; expected 1000 to 2999"):
        decade_of(19999)
    with pytest.raises(UsageError, match="the tempo is 900; expected 20 to 400 BPM"):
        TrackLabels(tempo=900.0)
    with pytest.raises(UsageError, match="the key is 'Bb minor'; expected one with sharps"):
        TrackLabels(key="Bb minor")
    with pytest.raises(UsageError, match="unknown concept 'colour'; known: genre, mood, instrument, era, tempo, key"):
        alike("colour", TrackLabels(), TrackLabels())  # type: ignore[arg-type]


def test_concepts_without_two_kinds_cannot_be_learned() -> None:
    tracks = [TrackLabels(("Rock",), ("calm",), ("piano",), ("1990s",), 100.0, "C major") for _ in range(2)]
    tracks += [TrackLabels(("Rock", "Pop"), (), ("organ",), ("1980s",), 140.0, "D minor"), TrackLabels(tempo=140.0)]
    found = find_unusable(["genre", "mood", "instrument", "tempo", "key"], tracks)
    assert found == {
        "genre": "all 3 labelled tracks are alike (Rock); expected at least two kinds",
        "mood": "all 2 labelled tracks are alike (calm); expected at least two kinds",
    }
    assert find_unusable(["era"], [TrackLabels()]) == {"era": "no track is labelled (of 1); expected at least 4"}
    different = [TrackLabels(era=(decade_of(year),)) for year in (1960, 1970, 1980)]
    assert find_unusable(["era"], different) == {
        "era": "no two of 3 labelled tracks are alike; expected some that share a label"
    }
