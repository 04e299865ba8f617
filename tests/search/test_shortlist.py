"""Searches by stems of a library without stems: a shortlist by the mix, and the same scores as with all stems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import TUNES, tune, write
from soundalike.api import Library
from soundalike.api import open as open_library
from soundalike.cli.main import main
from soundalike.core.errors import AudioError, ModelError, UsageError

WEIGHTS = {"vocals.melody": 2.0, "bass.rhythm": 1.0, "timbre": -0.5}


@pytest.fixture
def library(halves: Path, tmp_path: Path) -> Iterator[Library]:
    """A library of five short recordings, without stems; one of them cannot be separated."""
    for name, notes in TUNES.items():
        write(tmp_path / "songs" / f"{name}.wav", tune(notes, seconds=1.5))
    write(tmp_path / "songs" / "inseparable.wav", tune(TUNES["up"], seconds=1.5, harmonics=2))
    with open_library(tmp_path / "library", create=True) as library:
        library.index(tmp_path / "songs", model="dsp")
        yield library


def test_only_the_shortlist_is_separated_and_its_order_is_that_of_all_stems(
    library: Library, dsp_halves: str, halves: Path, tmp_path: Path
) -> None:
    query = tmp_path / "songs" / "up.wav"
    calls: list[tuple[int, int]] = []
    found = library.search_stems(
        query, "halves", weights=WEIGHTS, by="track", progress=lambda *call: calls.append(call)
    )
    assert (found.models, found.model, found.shortlist) == (("dsp", dsp_halves), "dsp", 3)
    assert found.warnings == ((str(tmp_path / "songs" / "inseparable.wav"), "cannot be separated; choose another"),)
    assert [match.rank for match in found] == [1, 2, 3]
    for match in found:
        assert match.score == pytest.approx(sum(one.share for one in match.spaces.values()))
    assert calls[-1] == (5, 5)
    assert sorted(halves.read_text().split()) == ["down.wav", "leaps.wav", "pedal.wav", "up.wav"]
    halves.unlink()
    again = library.search_stems(query, "halves", weights=WEIGHTS, by="track")
    assert [(one.path, one.score) for one in again] == [(one.path, one.score) for one in found]
    assert not halves.exists()
    # The same search of a library with all stems.
    library.index(tmp_path / "songs", model=["dsp", dsp_halves])
    complete = library.search(query, weights=WEIGHTS, by="track", model="dsp")
    assert [one.path for one in complete] == [one.path for one in found]
    assert [one.score for one in complete] == pytest.approx([one.score for one in found], abs=1e-5)


def test_a_shorter_list_holds_what_the_mix_finds_first(library: Library, dsp_halves: str, tmp_path: Path) -> None:
    query = write(tmp_path / "new.wav", tune(TUNES["leaps"], seconds=1.5, harmonics=3))
    first = library.search(query, weights={"rhythm": 1.0}, k=2, model="dsp")
    found = library.search_stems(query, "halves", weights={"vocals.timbre": 1.0, "rhythm": 1.0}, shortlist=2)
    assert found.shortlist == 2 - len(found.warnings)
    assert {one.path for one in found} | {path for path, _ in found.warnings} == {one.path for one in first}
    everything = library.search_stems(query, "halves", shortlist=2, region=(0.25, 1.25))
    assert (everything.level, everything.query.start, everything.query.end) == ("passage", 0.25, 1.25)
    assert [name for name, weight in everything.weights.items() if weight] == [
        f"{stem}.{space}" for stem in ("bass", "vocals") for space in ("melody", "rhythm", "timbre", "harmony")
    ]


def test_wrong_requests_are_one_clear_error(library: Library, dsp_halves: str, tmp_path: Path) -> None:
    query = tmp_path / "songs" / "up.wav"
    with pytest.raises(UsageError, match=r"no space of stems has a weight; name one, such as -w bass\.melody=2"):
        library.search_stems(query, "halves", weights={"melody": 1.0})
    with pytest.raises(UsageError, match=r"unknown space 'drums\.melody'"):
        library.search_stems(query, "halves", weights={"vocals.melody": 1.0, "drums.melody": 1.0})
    with pytest.raises(ModelError, match="unknown model 'dsp-spleeter'"):
        library.search_stems(query, weights={"vocals.melody": 1.0})
    with pytest.raises(AudioError, match=r"inseparable\.wav: cannot be separated"):
        library.search_stems(tmp_path / "songs" / "inseparable.wav", "halves")


def test_the_command_says_that_only_a_shortlist_was_compared(
    library: Library, dsp_halves: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--library", str(tmp_path / "library"))
    asked = ["search", str(tmp_path / "songs" / "up.wav"), *place, "--stems", "halves", "--shortlist", "2"]
    assert main(asked) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "most alike by the mix were compared by their stems (--shortlist); to compare all: soundalike index" in out
    assert main([*asked, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["query"]["shortlist"] == len(record["matches"]) > 0
    assert main([*asked, "--at-least", "rhythm=1"]) == 2
    assert "need the stems of every track; index them first" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_compares_all_tracks_of_a_library_with_stems(
    library: Library, dsp_halves: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--library", str(tmp_path / "library"))
    asked = ["search", str(tmp_path / "songs" / "up.wav"), *place, "--stems", "halves", "--shortlist", "2"]
    library.index(tmp_path / "songs", model=["dsp", dsp_halves])
    assert main([*asked, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["query"]["shortlist"] is None
    assert len(record["matches"]) == 3
    assert [name for name, weight in record["weights"].items() if weight] == [
        f"{stem}.{space}" for stem in ("bass", "vocals") for space in ("melody", "rhythm", "timbre", "harmony")
    ]
