"""What a person sees: no line of any command is wider than the terminal, and whole screens are as they should be."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.cli.match_table import MatchRow, print_matches
from soundalike.cli.table import cell_width
from soundalike.core.types import Match, SpaceScore, Span

SCREENS = Path(__file__).parent / "screens"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """The lines that were printed, without styles."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue()).splitlines()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch):
    """Print to a terminal of some columns."""

    def make(columns: int) -> Terminal:
        stream = Terminal()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return make


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A library of tracks with long names in deep folders, and the folder."""
    folder = tmp_path_factory.mktemp("A Folder With a Long Name") / "and another one below it" / "音楽とその他"
    for number, notes in enumerate(TUNES.values()):
        name = f"{number:02} - Some Title That Does Not Fit Anywhere (Remastered 2011, Deluxe Edition).wav"
        write(folder / f"Disc {number % 2}" / name, tune(notes, seconds=4, seed=number))
    (folder / "broken, with a name that is long enough to fill a line of the terminal.wav").write_bytes(b"RIFF")
    library = tmp_path_factory.mktemp("deep") / "library"
    main(["index", str(folder), "--library", str(library), "--json"])
    return folder, library


COMMANDS = {
    "search": ["search", "{a}"],
    "search by passages": ["search", "{a}", "--region", "0:01-0:04"],
    "search with examples": [
        "search",
        "{a}",
        "--like",
        "{b}",
        "melody=2,rhythm=1,harmony=1",
        "--unlike",
        "{b}",
        "timbre",
    ],
    "search with bounds": ["search", "{a}", "--at-least", "rhythm=1,timbre=1,melody=1", "--at-most", "harmony=100"],
    "compare": ["compare", "{a}", "{b}", "--align"],
    "path": ["path", "{a}", "{b}", "-n", "1"],
    "playlist": ["playlist", "{a}", "-n", "30"],
    "duplicates": ["duplicates"],
    "versions": ["versions"],
    "presets": ["presets"],
    "list models": ["list", "models"],
    "list spaces": ["list", "spaces"],
    "library ls": ["library", "ls"],
    "library failures": ["library", "failures"],
}


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_is_wider_than_the_terminal(screen, deep: tuple[Path, Path], name: str, columns: int) -> None:
    folder, library = deep
    a, b = sorted(folder.rglob("0*.wav"))[:2]
    stream = screen(columns)
    filled = [part.format(a=a, b=b) for part in COMMANDS[name]]
    library_option = [] if name.startswith(("list", "presets")) else ["--library", str(library)]
    assert main([*filled, *library_option]) in (0, 1)
    assert stream.lines()
    assert [line for line in stream.lines() if cell_width(line) > columns] == []


# Whole screens ------------------------------------------------------------------------------------------------------


def score(share: float, percentile: float | None, *, weight: float = 1.0) -> SpaceScore:
    return SpaceScore(0.5, 4 * share, weight, share, percentile, "library", percentile is not None)


def match(number: int, path: str, shares: tuple[float, ...], percentiles: tuple[float | None, ...], **more) -> Match:
    names = ("melody", "rhythm", "timbre", "harmony")
    spaces = {name: score(*one) for name, one in zip(names, zip(shares, percentiles, strict=True), strict=True)}
    return Match(Span(path, 0.0, 200.0), sum(shares), spaces, rank=number, **more)


class Known:
    """What a library knows of a track, as far as a table shows it."""

    def __init__(self, artist: str | None, title: str | None, bpm: float | None, key: str | None) -> None:
        self.artist, self.artists, self.title, self.album, self.genre = artist, (artist,), title, None, None
        self.bpm, self.known_key, self.year, self.duration = bpm, key, None, 200.0


ROWS = [
    MatchRow("/m/a.flac", Known("Nina Simone", "Sinnerman", 143.2, "B minor"),
             match(1, "/m/a.flac", (0.9, 0.8, 0.4, 0.5), (99.95, 98.2, 72.0, 99.3)), "1",
             notes=["copy: Backup/a.mp3"]),
    MatchRow("/m/b.flac", Known("The Mahavishnu Orchestra", "The Noonward Race (Live at the Felt Forum, New York)",
                                None, None),
             match(2, "/m/b.flac", (0.3, 0.6, -0.45, 0.0), (88.0, 95.5, 12.0, None)), "2"),
    MatchRow("/m/untagged/Track 03.wav", Known(None, None, 90.0, "C major"),
             match(3, "/m/untagged/Track 03.wav", (0.01, 0.1, 0.05, 0.0), (50.0, 61.0, 55.0, 48.0)), "3"),
    MatchRow("/m/untagged/Track 04.wav", Known(None, None, 174.0, "Eb minor"),
             match(4, "/m/untagged/Track 04.wav", (0.0, 0.0, 0.05, 0.0), (50.0, 50.0, 55.0, 48.0)), "4"),
]  # fmt: skip


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_matches_are_as_on_the_screen_that_was_agreed_on(screen, columns: int) -> None:
    stream = screen(columns)
    print_matches(ROWS, ["melody", "rhythm", "timbre", "harmony"])
    expected = (SCREENS / f"matches-{columns}.txt").read_text(encoding="utf-8").splitlines()
    assert stream.lines() == expected


def test_many_spaces_get_narrow_bars_and_a_legend(screen) -> None:
    stems = ("drums", "bass", "vocals", "piano")
    names = [f"{stem}.{factor}" for stem in stems for factor in ("melody", "rhythm", "timbre")]
    one = Match(Span("/m/a.wav", 0.0, 200.0), 1.0, {name: score(0.1, 50.0) for name in names}, rank=1)
    stream = screen(80)
    print_matches([MatchRow("/m/a.wav", Known("A", "B", 120.0, "C major"), one, "1")], names)
    assert stream.lines()[-4:] == [
        "1  A - B  +1.00  █ █ █ █ █ █ █ █ █ █  █  █    120  C",
        "bars: 1 drums.melody, 2 drums.rhythm, 3 drums.timbre, 4 bass.melody, 5",
        "bass.rhythm, 6 bass.timbre, 7 vocals.melody, 8 vocals.rhythm, 9 vocals.timbre,",
        "10 piano.melody, 11 piano.rhythm, 12 piano.timbre",
    ]
