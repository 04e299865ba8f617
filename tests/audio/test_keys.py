"""Names of keys as tags and people write them, and the keys that mix well."""

from __future__ import annotations

import pytest

from soundalike.audio.keys import compatible_keys, parse_key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Am", "A minor"), ("am", "A minor"), ("A minor", "A minor"), ("a-moll", "A minor"), ("Amin", "A minor"),
        ("A", "A major"), ("AM", "A major"), ("A maj", "A major"), ("Cdur", "C major"), ("C Major", "C major"),
        ("F#m", "F# minor"), ("f♯ minor", "F# minor"), ("F sharp minor", "F# minor"), ("Gbm", "F# minor"),
        ("Bbmaj", "A# major"), ("Bb", "A# major"), ("B", "B major"), ("Bm", "B minor"), ("bm", "B minor"),
        ("Db", "C# major"), ("D flat", "C# major"), ("Cb", "B major"), ("E#", "F major"), (" Ebm \0", "D# minor"),
        ("A♭m", "G# minor"), ("B flat minor", "A# minor"), ("bbm", "A# minor"), ("A aeolian", "A minor"),
        ("C Ionian", "C major"),
        # Camelot and Open Key
        ("8A", "A minor"), ("8B", "C major"), ("1A", "G# minor"), ("5A", "C minor"), ("12B", "E major"),
        ("08a", "A minor"), ("1m", "A minor"), ("1d", "C major"), ("2d", "G major"), ("12m", "D minor"),
        # German
        ("H", "B major"), ("Hm", "B minor"), ("h-Moll", "B minor"), ("B-Dur", "A# major"), ("b moll", "A# minor"),
        ("Fis", "F# major"), ("fis-moll", "F# minor"), ("Es-Dur", "D# major"), ("As", "G# major"),
        ("Des-Dur", "C# major"), ("Ces", "B major"), ("Cism", "C# minor"),
        # several names of one key, and what tools add
        ("Am/8A", "A minor"), ("8A/Am", "A minor"), ("8A - Am", "A minor"), ("8A Am", "A minor"), ("Am 8A", "A minor"),
        ("A Minor (8A)", "A minor"), ("8A (A minor)", "A minor"), ("C#/Db", "C# major"), ("C#/Db minor", "C# minor"),
        ("c#/db minor", "C# minor"), ("Am, 8A, 1m", "A minor"), ("8A - Energy 6", "A minor"),
        ("8A-Energy 10", "A minor"), ("Fm / energy 7", "F minor"), ("8A - 128", "A minor"),
        ("Ab -50cents", "G# major"), ("04B +50 cents", "G# major"),
    ],
)  # fmt: skip
def test_keys(text: str, key: str) -> None:
    assert parse_key(text) == key


@pytest.mark.parametrize(
    "text",
    ["", "o", "X minor", "13A", "0A", "8C", "All", "Blues", "8", "Amm", "A##", "minor", "Dorian", "D dorian", "H9",
     "A minor/C major", "Am, C", "A/Am", "8A/Am/C", "8A/other", "Am/8B", "ms", "Bs", " - ", "/"],
)  # fmt: skip
def test_not_keys(text: str) -> None:
    assert parse_key(text) is None


@pytest.mark.parametrize("text", ["a", "b", "bb", "h", "c#", "fis", "c#/db"])
def test_lower_case_without_a_mode_is_no_key(text: str) -> None:
    # It is minor in German notation and in Mixxx, and major in beets.
    assert parse_key(text) is None


def test_the_wheel_codes_name_every_key_once() -> None:
    for rings in ("AB", "md"):
        assert len({parse_key(f"{hour}{ring}") for hour in range(1, 13) for ring in rings}) == 24


def test_parsed_keys_parse_to_themselves() -> None:
    for hour in range(1, 13):
        for ring in "AB":
            key = parse_key(f"{hour}{ring}")
            assert key is not None and parse_key(key) == key


def test_compatible_keys_are_neighbours_on_the_camelot_wheel() -> None:
    codes = {parse_key(f"{hour}{ring}"): (hour, ring) for hour in range(1, 13) for ring in "AB"}
    for key, (hour, ring) in codes.items():
        assert key is not None
        around = {(hour, ring), (hour % 12 + 1, ring), ((hour - 2) % 12 + 1, ring), (hour, "AB"[ring == "A"])}
        assert {codes[other] for other in compatible_keys(key)} == around
    assert compatible_keys("A minor") == {"A minor", "D minor", "E minor", "C major"}
