"""Find and read Standard MIDI Files."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.files import absolute
from soundalike.core.types import FloatArray, IntArray

__all__ = [
    "DRUM_CHANNEL",
    "USED_METERS",
    "Skipped",
    "Song",
    "Track",
    "midi_files",
    "read_midi",
    "version_of",
]

DRUM_CHANNEL = 9  # General MIDI's percussion channel, counted from 0

# The supported time signatures, and the meter that each is read as.
USED_METERS: Mapping[tuple[int, int], str] = {
    (4, 4): "4/4",
    (2, 2): "4/4",
    (2, 4): "4/4",
    (3, 4): "3/4",
    (6, 8): "6/8",
    (12, 8): "6/8",
    (9, 8): "9/8",
}

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")
_LARGEST = 1 << 24  # bytes of one MIDI file; the largest in use have some MB
_LARGEST_ARCHIVE = 1 << 32  # bytes of an archive, unpacked
# The errors, besides OSError, that an invalid or encrypted archive raises.
_ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be used, and the reason in one line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Track:
    """The notes of one track and channel, in order of time.

    Attributes:
        name: The name of the track.
        channel: The MIDI channel, 0 to 15.
        starts: (n,) onsets in quarter notes.
        ends: (n,) ends in quarter notes.
        pitches: (n,) MIDI notes.
        velocities: (n,) MIDI velocities.
    """

    name: str
    channel: int
    starts: FloatArray
    ends: FloatArray
    pitches: IntArray
    velocities: IntArray


@dataclass(frozen=True, slots=True)
class Song:
    """The contents of a MIDI file.

    Attributes:
        tracks: The tracks that hold notes.
        meters: All time signatures, as (numerator, denominator).
        tempo: The first tempo in quarter notes per minute. None if the file has none.
        key: The first key signature, as (tonic in semitones above C, mode). None if the file has none.
    """

    tracks: tuple[Track, ...]
    meters: frozenset[tuple[int, int]]
    tempo: float | None = None
    key: tuple[int, str] | None = None


def midi_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read the MIDI files of a folder or archive.

    Args:
        path: A folder with MIDI files at any depth, an archive of MIDI files, or a folder with exactly one archive.

    Yields:
        (name, contents) of each file, in no particular order. Names are relative and use slashes.

    Raises:
        UsageError: `path` does not exist, cannot be read, or holds neither MIDI files nor one archive.

    Example:
        >>> songs = {name: read_midi(data) for name, data in midi_files(Path("tunes.zip"))}
    """
    container = _container(path)
    try:
        if container.is_dir():
            for file in _loose_files(container):
                _check_size(str(file), file.stat().st_size)
                yield file.relative_to(container).as_posix(), file.read_bytes()
        elif container.name.lower().endswith(".zip"):
            with zipfile.ZipFile(container) as archive:
                for info in archive.infolist():
                    if _is_midi(info.filename):
                        _check_size(info.filename, info.file_size)
                        with archive.open(info) as unpacked:
                            yield info.filename, unpacked.read(_LARGEST)
        else:
            with _Unpacked(container) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in tar:
                    handle = tar.extractfile(member) if member.isfile() and _is_midi(member.name) else None
                    if handle is not None:
                        _check_size(member.name, member.size)
                        yield member.name.removeprefix("./"), handle.read(_LARGEST)
    except _ARCHIVE_ERRORS as error:
        # tarfile lists every format that it tried on further lines.
        reason = str(error).partition("\n")[0].rstrip(":") or type(error).__name__
        raise UsageError(
            f"{container} is not a readable archive ({reason}); expected an archive of MIDI files"
        ) from error
    except OSError as error:
        raise UsageError(f"{container} cannot be read: {error.strerror or error}") from error


def _check_size(name: str, size: int) -> None:
    """Raise UsageError if a file is too large for MIDI: a small archive may unpack to a full memory."""
    if size > _LARGEST:
        raise UsageError(f"{name} has {size:,} bytes; expected MIDI files of at most {_LARGEST:,}")


class _Unpacked(io.BufferedIOBase):
    """The bytes of a tar archive, unpacked as they are read, so that a small file cannot unpack to a full memory.

    Raises tarfile.ReadError for a read of more than `_LARGEST` bytes, such as an endless file name, and when more than
    `_LARGEST_ARCHIVE` bytes were unpacked.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            magic = file.read(6)
        gzipped, xz = magic.startswith(b"\x1f\x8b"), magic.startswith(b"\xfd7zXZ")
        opened = gzip.GzipFile if gzipped else lzma.LZMAFile if xz else Path.open
        self._stream: Any = opened(path, mode="rb")

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes; `size` is always given by tarfile."""
        if size is None or not 0 <= size <= _LARGEST:
            raise tarfile.ReadError(f"it holds something larger than {_LARGEST:,} bytes besides files")
        if self._stream.tell() > _LARGEST_ARCHIVE:
            raise tarfile.ReadError(f"it unpacks to more than {_LARGEST_ARCHIVE:,} bytes")
        return bytes(self._stream.read(size))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset."""
        if whence == 0 and offset > _LARGEST_ARCHIVE:
            raise tarfile.ReadError(f"it unpacks to more than {_LARGEST_ARCHIVE:,} bytes")
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        """Return the offset."""
        return int(self._stream.tell())

    def close(self) -> None:
        """Close the archive."""
        self._stream.close()
        super().close()


def version_of(path: Path) -> tuple[object, ...]:
    """Return the paths, sizes and modification times of the files that `midi_files` reads, as a cache key.

    Raises:
        UsageError: `path` does not exist, or holds neither MIDI files nor one archive.

    Example:
        >>> cache_path("tunes.npz", *version_of(Path("tunes")))
    """
    container = absolute(_container(path))
    files = _loose_files(container) if container.is_dir() else [container]
    stats = [(str(file), file.stat()) for file in files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _container(path: Path) -> Path:
    """Return the folder or archive to read. Raises UsageError."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a folder or archive of MIDI files")
    if path.is_file():
        if path.name.lower().endswith(_ARCHIVES):
            return path
        raise UsageError(f"{path} is not an archive ({', '.join(_ARCHIVES)}); give a folder or archive of MIDI files")
    if _loose_files(path):
        return path
    archives = [file for file in sorted(path.iterdir()) if file.name.lower().endswith(_ARCHIVES)]
    if len(archives) != 1:
        raise UsageError(
            f"{path} holds no MIDI files (.mid, .midi) and {len(archives)} archives; "
            "expected MIDI files or exactly one archive"
        )
    return archives[0]


def _loose_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if _is_midi(file.name) and file.is_file())


def _is_midi(name: str) -> bool:
    # macOS adds metadata files to archives. Their names start with a dot.
    return name.lower().endswith((".mid", ".midi")) and not name.rpartition("/")[2].startswith(".")


def read_midi(data: bytes) -> Song:
    """Parse a MIDI file.

    Args:
        data: The contents of the file.

    Returns:
        The notes, with times in quarter notes, and the meters, tempo and key.

    Raises:
        AudioError: The file is invalid, or its times are not in beats.

    Example:
        >>> song = read_midi(Path("reel.mid").read_bytes())
        >>> song.meters
        frozenset({(4, 4)})
    """
    import mido

    try:
        file = mido.MidiFile(file=io.BytesIO(data))
    except Exception as error:  # mido has no base class for errors, and invalid files raise many different ones
        raise AudioError(f"not a valid MIDI file ({type(error).__name__}: {error})".strip()) from error
    if file.ticks_per_beat <= 0:
        raise AudioError("its times are SMPTE frames, expected beats")
    tracks: list[Track] = []
    meters: set[tuple[int, int]] = set()
    tempo: float | None = None
    key: tuple[int, str] | None = None
    for messages in file.tracks:
        tracks += _tracks(messages, file.ticks_per_beat)
        for message in messages:
            if message.type == "time_signature":
                meters.add((message.numerator, message.denominator))
            elif message.type == "set_tempo" and tempo is None and message.tempo > 0:
                tempo = 60e6 / message.tempo
            elif message.type == "key_signature" and key is None:
                key = _parse_key(message.key)
    return Song(tuple(tracks), frozenset(meters), tempo, key)


def _parse_key(text: str) -> tuple[int, str]:
    """Parse mido's name of a key, such as "F#m", to (tonic in semitones above C, mode)."""
    letter = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[text[0]]
    return (letter + text.count("#") - text.count("b")) % 12, "minor" if text.endswith("m") else "major"


def _tracks(messages: Any, ticks: int) -> list[Track]:
    """Return the notes of a track by channel. `ticks` is the number of ticks per quarter note."""
    now, name = 0, ""
    sounding: dict[tuple[int, int], tuple[int, int]] = {}
    notes: dict[int, list[tuple[int, int, int, int]]] = {}

    def end(channel: int, pitch: int) -> None:
        start, velocity = sounding.pop((channel, pitch))
        if now > start:
            notes.setdefault(channel, []).append((start, now, pitch, velocity))

    for message in messages:
        now += message.time
        kind = message.type
        if kind in ("note_on", "note_off"):
            key = message.channel, message.note
            if key in sounding:
                end(*key)
            if kind == "note_on" and message.velocity > 0:
                sounding[key] = now, message.velocity
        elif kind == "track_name":
            name = message.name
    for key in list(sounding):
        end(*key)
    tracks = []
    for channel in sorted(notes):
        table = np.array(sorted(notes[channel]), dtype=np.int64)
        tracks.append(Track(name, channel, table[:, 0] / ticks, table[:, 1] / ticks, table[:, 2], table[:, 3]))
    return tracks
