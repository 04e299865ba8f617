"""Self-test: your own music, changed in known ways. Which space still knows it, and which should not?

A stretch of 15 s of some tracks of a library is transposed, stretched, filtered, made quieter, coded and mixed with
noise. Every version asks which of the stretches it is made from: it is recovered if its own is nearer (cosine) than
those of all other tracks; equals share the point. Chance is one in the number of tracks, so a number is comparable
only with the same number of tracks. What a change should leave alone "stays": melody and harmony do not depend on key
and tempo, rhythm bears small changes of tempo, and timbre may move where the spectrum does.

The second table has z of a version with its own stretch: how much more alike than random pairs of the model's
calibration, in their standard deviations.

Reference: Laroche and Dolson, Improved Phase Vocoder Time-Scale Modification of Audio, IEEE Transactions on Speech
and Audio Processing 7, 1999 (the stretching, with identity phase locking).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np

from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.types import FloatArray, IntArray, Report
from soundalike.evaluate.base import EncodedClips, Progress, Protocol, encode_clips, full_span, model_report
from soundalike.evaluate.reports import Estimate, bootstrap, clopper_pearson

__all__ = ["CHANGES", "Change", "SelfTest", "create", "recovered", "stretch", "transpose"]

RATE = 44100
SECONDS = 15.0
_FRAME, _HOP = 2048, 512
_SEMITONES = 3
_PERCENT = 6
_LOW_PASS = 3000.0
_QUIETER = 20.0
_SNR = 15.0

Sound: TypeAlias = Callable[[FloatArray], FloatArray]


def stretch(samples: FloatArray, speed: float) -> FloatArray:
    """Play (t,) samples `speed` times as fast at the same pitch: (about t / speed,), by a phase vocoder.

    Phases are locked to the nearest spectral peak: left to themselves, the bins of one partial would drift apart.
    """
    window = np.hanning(_FRAME + 1)[:-1]
    padded = np.pad(samples.astype(np.float64), _FRAME)
    starts = np.arange(0, len(padded) - _FRAME, _HOP)
    spectra = np.fft.rfft(padded[starts[:, None] + np.arange(_FRAME)] * window, axis=1)
    size, angle = np.abs(spectra), np.angle(spectra)
    owners = _peak_of_each_bin(size)
    # Where each frame of the result falls between two frames of the original.
    where = np.arange(0, len(spectra) - 1, speed)
    first = where.astype(np.int64)
    between = (where - first)[:, None]
    magnitude = (1 - between) * size[first] + between * size[first + 1]
    # A peak goes on at the frequency that its phase shows between two frames.
    expected = 2 * np.pi * _HOP * np.arange(spectra.shape[1]) / _FRAME
    turned = angle[first + 1] - angle[first] - expected
    step = expected + turned - 2 * np.pi * np.round(turned / (2 * np.pi))
    phase = angle[0]
    total = np.zeros(_HOP * (len(where) - 1) + _FRAME)
    for n, frame in enumerate(first):
        total[n * _HOP : n * _HOP + _FRAME] += np.fft.irfft(magnitude[n] * np.exp(1j * phase), _FRAME) * window
        owner, there = owners[frame + 1], angle[frame + 1]
        phase = (phase + step[n])[owner] + there - there[owner]
    margin = round(_FRAME / speed)
    # Squared Hann windows at a quarter of their length sum to 3/2 everywhere.
    return (total[margin : len(total) - _FRAME] / 1.5).astype(np.float32)


def _peak_of_each_bin(size: FloatArray) -> IntArray:
    """For each bin of magnitudes (f, b) the nearest one that is larger than the two on either side: (f, b)."""
    edge = np.pad(size, ((0, 0), (2, 2)))
    neighbours = np.max([edge[:, :-4], edge[:, 1:-3], edge[:, 3:-1], edge[:, 4:]], axis=0)
    bins = np.arange(size.shape[1])
    owners = np.tile(bins, (len(size), 1))
    for row, peaks in zip(owners, size > neighbours, strict=True):
        places = np.flatnonzero(peaks)
        if len(places):
            row[:] = places[np.searchsorted((places[1:] + places[:-1]) / 2, bins)]
    return owners


def transpose(samples: FloatArray, semitones: float) -> FloatArray:
    """Play (t,) samples `semitones` higher at the same speed."""
    import soxr

    ratio = 2 ** (semitones / 12)
    raised = soxr.resample(stretch(samples, 1 / ratio), RATE * ratio, RATE, quality="HQ")
    return np.asarray(raised, dtype=np.float32)


def _low_pass(samples: FloatArray) -> FloatArray:
    from scipy.signal import butter, sosfilt

    return np.asarray(sosfilt(butter(4, _LOW_PASS, fs=RATE, output="sos"), samples), dtype=np.float32)


def _noise(samples: FloatArray) -> FloatArray:
    noise = np.random.default_rng(0).standard_normal(len(samples))
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64))) * 10 ** (-_SNR / 20)
    return (samples + level * noise).astype(np.float32)


def _quieter(samples: FloatArray) -> FloatArray:
    return samples * np.float32(10 ** (-_QUIETER / 20))


def _as_is(samples: FloatArray) -> FloatArray:
    return samples


def _both(samples: FloatArray) -> FloatArray:
    return transpose(stretch(samples, 1 + _PERCENT / 100), _SEMITONES)


@dataclass(frozen=True, slots=True)
class Change:
    """A change by name, how it is made, the kind of file it is written to, and the factors that it leaves alone."""

    name: str
    make: Sound
    suffix: str
    stays: frozenset[str]


_ALL = frozenset({"melody", "rhythm", "timbre", "harmony"})
_NOT_TIMBRE = _ALL - {"timbre"}
CHANGES = (
    Change("as it is", _as_is, ".wav", _ALL),
    Change(f"transpose +{_SEMITONES}", partial(transpose, semitones=_SEMITONES), ".wav", _NOT_TIMBRE),
    Change(f"stretch +{_PERCENT} %", partial(stretch, speed=1 + _PERCENT / 100), ".wav", _ALL),
    Change(f"stretch -{_PERCENT} %", partial(stretch, speed=1 - _PERCENT / 100), ".wav", _ALL),
    Change("transpose and stretch", _both, ".wav", _NOT_TIMBRE),
    Change(f"low-pass {_LOW_PASS / 1000:g} kHz", _low_pass, ".wav", _NOT_TIMBRE),
    Change(f"{_QUIETER:g} dB quieter", _quieter, ".wav", _ALL),
    Change("MP3", _as_is, ".mp3", _ALL),
    Change(f"noise, {_SNR:g} dB SNR", _noise, ".wav", _NOT_TIMBRE),
)


def recovered(similarity: FloatArray) -> FloatArray:
    """Whether version i is nearest to its own original: `similarity` (n, n) of versions (rows) with originals.

    Returns (n,): 1 if so, 0 if another is nearer, 1 / (1 + m) if it ties with m others.
    """
    own = np.diagonal(similarity)[:, None]
    return np.where((similarity > own).any(axis=1), 0.0, 1.0 / (similarity == own).sum(axis=1))


@dataclass(frozen=True, slots=True)
class _VariantTask:
    """A track to change: versions are written to `folder` / `name`-<n>."""

    path: Path
    start: float
    folder: Path
    name: str

    def files(self) -> list[Path]:
        """The original, then each change."""
        suffixes = [".wav", *(change.suffix for change in CHANGES)]
        return [self.folder / f"{self.name}-{n}{suffix}" for n, suffix in enumerate(suffixes)]


def _render(task: _VariantTask) -> None:
    """Runs in a worker."""
    import soundfile

    from soundalike.audio import MonoStream

    original = np.concatenate(list(MonoStream(task.path, RATE, start=task.start, end=task.start + SECONDS)))
    for file, change in zip(task.files(), [None, *CHANGES], strict=True):
        samples = change.make(original) if change else original
        if file.suffix == ".wav":
            soundfile.write(file, samples, RATE, subtype="FLOAT")
        else:
            soundfile.write(file, np.clip(samples, -1, 1), RATE, format="MP3")


class SelfTest:
    """Every change (rows) in every space (columns): tracks recovered in per cent, and z."""

    name: ClassVar[str] = "self"
    summary: ClassVar[str] = "your own library, changed in known ways: what does each space still recognise?"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The library and the number of tracks."""
        parser.add_argument("library", type=Path, metavar="LIBRARY", help="the library's folder")
        parser.add_argument("--tracks", type=int, default=20, metavar="N", help="how many to try (default: 20)")

    def run(self, args: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Two reports: recovered in %, z. Raises UsageError, LibraryError, ModelError."""
        import soundfile

        from soundalike.core.executors.processes import run_tasks

        if "MP3" not in soundfile.available_formats():
            raise UsageError("this libsndfile cannot write MP3; install the soundfile package's own build (pip)")
        if args.tracks < 2:
            raise UsageError(f"--tracks {args.tracks}: expected at least 2, to tell one from another")
        with tempfile.TemporaryDirectory(prefix="soundalike-self-") as folder:
            tasks = _choose(args.library, args.tracks, args.seed, Path(folder))
            done: list[_VariantTask] = []
            failed: list[SoundalikeError] = []
            outcomes = run_tasks(_render, tasks, args.jobs)
            try:
                for task, outcome in outcomes:
                    if isinstance(outcome, SoundalikeError):
                        failed.append(outcome)
                    else:
                        done.append(task)
            finally:
                outcomes.close()
            done.sort(key=lambda task: task.name)  # they end in any order
            if len(done) < 2:
                raise UsageError(f"{len(failed)} of the tracks cannot be heard now, such as: {failed[0]}")
            clips = [full_span(file) for task in done for file in task.files()]
            heard = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
            versions = heard.positions(clips).reshape(len(done), 1 + len(CHANGES))
        return self._reports(heard, versions, args, len(failed))

    def _reports(
        self, heard: EncodedClips, versions: IntArray, args: argparse.Namespace, failed: int
    ) -> tuple[Report, ...]:
        """`versions` (n, 1 + changes): the rows of each track's original and versions."""
        tracks = [str(n) for n in range(len(versions))]
        found: dict[str, Estimate] = {}
        closeness: dict[str, Estimate] = {}
        for space in heard.spaces:
            everything = heard.similarities(space)
            chance = space.calibration["track"]
            shares, zs = [], []
            for column in versions.T[1:]:
                similarity = everything[np.ix_(column, versions[:, 0])]
                shares.append(recovered(similarity))
                zs.append((np.diagonal(similarity) - chance.mu) / chance.sigma)
            # Exact, for a bootstrap of tracks that are all recovered would claim certainty.
            found[space.name] = clopper_pearson(np.sum(shares, axis=1), np.full(len(CHANGES), len(tracks)))
            closeness[space.name] = bootstrap(np.stack(zs, axis=1), tracks, args.seed)
        lost = [f"Left out, because they cannot be heard now: {failed} tracks."] if failed else []

        report = partial(
            model_report,
            heard,
            args,
            protocol=self.name,
            options=f"LIBRARY --tracks {args.tracks}",
            rows=[_row(change) for change in CHANGES],
        )
        data = f"{len(tracks)} tracks of a library"
        exact, by = "Intervals: Clopper-Pearson. n: tracks.", "Intervals: bootstrap over tracks. n: tracks."
        expected = _expected(space.name for space in heard.spaces)
        return (
            report(
                found,
                f"Recovered after a change: {data}",
                chance=100 / len(tracks),
                notes=[exact, *expected, *lost],
            ),
            report(closeness, f"z after a change: {data}", chance=0.0, unit="", notes=[by, *lost]),
        )


def _row(change: Change) -> str:
    """A change, and which factors it may move; all others should stay where they are."""
    moves = ", ".join(sorted(_ALL - change.stays))
    return f"{change.name} ({moves} may move)" if moves else change.name


def _expected(spaces: Iterable[str]) -> list[str]:
    known = [name for name in spaces if name in _ALL]
    lines = []
    for name in known:
        moves = [change.name for change in CHANGES if name not in change.stays]
        lines.append(f"Expected of {name}: stays" + (f"; may move after {', '.join(moves)}." if moves else "."))
    return lines


def _choose(library: Path, count: int, seed: int, folder: Path) -> list[_VariantTask]:
    """The middles of random tracks that are there and differ in sound. Raises UsageError if there are under two."""
    from soundalike.library import LibraryFolder

    with LibraryFolder(library) as opened:
        tracks = {
            track.audio_hash: track
            for track in opened.catalog.tracks("NOT missing AND NOT unreadable")
            if track.path.is_file()
        }
    if len(tracks) < 2:
        raise UsageError(
            f"the library at {library} has {len(tracks)} different tracks that are there; expected 2 or more"
        )
    ordered = sorted(tracks.values(), key=lambda track: str(track.path))
    picked = np.random.default_rng(seed).choice(len(ordered), size=min(count, len(ordered)), replace=False)
    return [
        _VariantTask(ordered[n].path, max(0.0, (ordered[n].duration - SECONDS) / 2), folder, f"{place:04d}")
        for place, n in enumerate(sorted(picked.tolist()))
    ]


def create() -> Protocol:
    """The protocol."""
    return SelfTest()
