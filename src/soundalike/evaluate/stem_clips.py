"""Clips of multitrack songs: the mix, its true stems, and its separated stems, each as one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundalike.audio.separators import Separator, separated_stems
from soundalike.core import plugins
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import FloatArray, Span
from soundalike.evaluate.base import check_folder

__all__ = ["ACCOMPANIMENT", "GIVEN", "SongClips", "prepare_song", "read_stem_files"]

ACCOMPANIMENT = "accompaniment"
GIVEN = "given"
_MASTER = "mix"
"""The class of a file that is no stem but a finished mix."""
_RATE = 44_100
_SILENT = -50.0
"""Level relative to the mix, in dB, below which a stem counts as silent."""


@dataclass(frozen=True, slots=True)
class SongClips:
    """The files of a song.

    Attributes:
        song: Its name.
        seconds: The length of every file.
        files: The file of each class, by source: "mix" (the same file for every class), "given" (the true stems), and
            the separators.
        sounding: Whether a true stem sounds in each half, by class.
    """

    song: str
    seconds: float
    files: Mapping[str, Mapping[str, Path]]
    sounding: Mapping[str, tuple[bool, bool]]

    def span(self, source: str, kind: str, half: int) -> Span:
        """Return the first (0) or the second (1) half of a file."""
        middle = self.seconds / 2
        start, end = ((0.0, middle), (middle, self.seconds))[half]
        return Span(str(self.files[source][kind]), start, end)


def read_stem_files(root: Path, *, by_instrument: bool = False) -> dict[str, dict[str, tuple[Path, ...]]]:
    """Return the files of each stem class by song, sorted.

    Args:
        root: MUSDB18-HQ, or recordings that `stems.csv` lists. Songs may lack some of the classes.
        by_instrument: Whether guitars and pianos are classes of their own, by the column "instrument" of `stems.csv`.

    Raises:
        UsageError: The folder holds neither.

    Example:
        >>> read_stem_files(Path("musicdelta"))["Rock"].keys()
        dict_keys(['bass', 'drums', 'other', 'vocals'])
    """
    check_folder(root, "MUSDB18-HQ, or with stems.csv")
    if (root / "stems.csv").exists():
        dataset = plugins.load("datasets", "stem_table", root=root, complete=False, by_instrument=by_instrument)
    else:
        dataset = plugins.load("datasets", "musdb18hq", root=root)
    songs: dict[str, dict[str, tuple[Path, ...]]] = {}
    for item in dataset.items():
        if item.labels["label"] != _MASTER:
            files = tuple(item.stems.values()) or (item.path,)
            songs.setdefault(item.labels["song"], {})[item.labels["label"]] = files
    if not songs:
        raise UsageError(f"{root} holds no song; expected MUSDB18-HQ, or recordings that stems.csv lists")
    return {song: dict(sorted(kinds.items())) for song, kinds in sorted(songs.items())}


def prepare_song(
    song: str,
    stems: Mapping[str, Sequence[Path]],
    folder: Path,
    seconds: float,
    separators: Mapping[str, Separator],
) -> SongClips:
    """Write the mix, the true stems and the separated stems of the part of a song in which the most stems sound.

    The mix is the sum of the stems. In songs with vocals, everything else is the stem "accompaniment".

    Args:
        song: Its name.
        stems: The files of each class, which are summed.
        folder: Where to write; it exists.
        seconds: The longest part to use.
        separators: The separators by name.

    Raises:
        AudioError: A file cannot be decoded or separated.
    """
    import soundfile

    signals = {kind: _sum(song, files) for kind, files in stems.items()}
    length = max(signal.shape[1] for signal in signals.values())
    whole = {kind: _padded(signal, length) for kind, signal in signals.items()}
    mix = _total(whole.values())
    begin, end = _active_part(whole, mix, round(seconds * _RATE))
    parts = {kind: signal[:, begin:end] for kind, signal in whole.items()}
    mix = mix[:, begin:end]
    if "vocals" in parts and len(parts) > 1:
        parts[ACCOMPANIMENT] = _total(signal for kind, signal in parts.items() if kind != "vocals")

    def write(name: str, signal: FloatArray) -> Path:
        path = folder / f"{name}.wav"
        soundfile.write(path, signal.T, _RATE, subtype="FLOAT")
        return path

    mixed = write("mix", mix)
    files: dict[str, dict[str, Path]] = {
        "mix": dict.fromkeys(parts, mixed),
        GIVEN: {kind: write(f"given.{kind}", signal) for kind, signal in parts.items()},
    }
    for name, separator in separators.items():
        try:
            made = dict(separated_stems(separator, mixed))
        except AudioError as error:
            raise AudioError(f"{song}: {error}") from error
        if ACCOMPANIMENT not in made and "vocals" in made:
            others = (_sum(song, [file]) for stem, file in made.items() if stem != "vocals")
            made[ACCOMPANIMENT] = write(f"{name}.{ACCOMPANIMENT}", _total(others))
        files[name] = {kind: made[kind] for kind in parts if kind in made}
    middle = (end - begin) // 2
    halves = (slice(None, middle), slice(middle, None))
    sounding = {
        kind: (_sounds(signal[:, halves[0]], mix[:, halves[0]]), _sounds(signal[:, halves[1]], mix[:, halves[1]]))
        for kind, signal in parts.items()
    }
    return SongClips(song, (end - begin) / _RATE, files, sounding)


def _sum(song: str, files: Sequence[Path]) -> FloatArray:
    """The sum of files as (2, t) at `_RATE`. Shorter files end early."""
    from soundalike.audio.stereo import StereoStream

    total = np.zeros((2, 0), np.float32)
    for file in files:
        try:
            signal = np.concatenate(list(StereoStream(file, _RATE)), axis=1)
        except AudioError as error:
            raise AudioError(f"{song}: {file}: {error}") from error
        total = _padded(total, max(total.shape[1], signal.shape[1]))
        total[:, : signal.shape[1]] += signal
    return total


def _total(signals: Iterable[FloatArray]) -> FloatArray:
    """The sum of signals (2, t) of one length."""
    total: FloatArray = np.stack(list(signals)).sum(axis=0, dtype=np.float32)
    return total


def _padded(signal: FloatArray, length: int) -> FloatArray:
    """A signal (2, t) with zeros up to a length."""
    return np.pad(signal, ((0, 0), (0, length - signal.shape[1])))


def _active_part(stems: Mapping[str, FloatArray], mix: FloatArray, longest: int) -> tuple[int, int]:
    """The first part of at most `longest` samples in which most stems sound for most seconds, from a whole second."""
    length = mix.shape[1]
    if length <= longest:
        return 0, length
    starts = range(0, length, _RATE)
    level = float(np.sqrt(np.mean(np.square(mix)))) * 10 ** (_SILENT / 20)
    counts = np.array(
        [
            sum(float(np.sqrt(np.mean(np.square(signal[:, at : at + _RATE])))) > level for signal in stems.values())
            for at in starts
        ]
    )
    width = max(1, round(longest / _RATE))
    totals = np.convolve(counts, np.ones(width, np.int64), mode="valid")
    begin = int(totals.argmax()) * _RATE
    return begin, min(begin + longest, length)


def _sounds(stem: FloatArray, mix: FloatArray) -> bool:
    """Whether a stem is not silent beside its mix."""
    energy, reference = float(np.mean(np.square(stem))), float(np.mean(np.square(mix)))
    return energy > reference * 10 ** (_SILENT / 10)
