"""Which of the given folders and files hold a path."""

from __future__ import annotations

import ntpath
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.library.indexing import find_files
from soundalike.library.indexing.find_files import Places

paths = st.lists(st.sampled_from(["a", "ab", "b", "b.wav"]), max_size=4).map(lambda parts: Path("/", *parts))


@given(st.lists(paths, max_size=6), paths)
def test_places_hold_what_they_are_and_what_lies_below_them(places: list[Path], path: Path) -> None:
    expected = {place for place in places if place == path or place in path.parents}
    found = Places(places).holding(path)
    assert set(found) == expected
    assert sorted(found, key=lambda place: len(place.parts), reverse=True) == list(found)


def test_the_time_per_path_does_not_depend_on_the_number_of_places(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, real = [], find_files.os.path.split

    def split(name: str) -> tuple[str, str]:
        steps.append(name)
        return real(name)

    places = Places([Path(f"/music/{number}.wav") for number in range(300)])
    monkeypatch.setattr(find_files.os.path, "split", split)
    assert not any(places.holding(Path(f"/other/disk/{number}.wav")) for number in range(1000))
    assert len(steps) <= 1000 + 3  # each path once, and each of its folders once in all


def test_drives_and_shares_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_files.os, "path", ntpath)
    drive, share = PureWindowsPath("D:\\"), PureWindowsPath("\\\\nas\\music")
    places = Places([drive, share])  # type: ignore[list-item]
    assert places.holding(PureWindowsPath("D:\\music\\a.wav")) == (drive,)  # type: ignore[arg-type]
    assert places.holding(PureWindowsPath("\\\\nas\\music\\a.wav")) == (share,)  # type: ignore[arg-type]
    assert places.holding(PureWindowsPath("C:\\music\\a.wav")) == ()  # type: ignore[arg-type]
