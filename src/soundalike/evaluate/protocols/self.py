"""Self-test on your own library: which spaces recognise a recording after a known change, and which should not?

    soundalike evaluate self LIBRARY --tracks 50 --model compact

The protocol takes a 15 s excerpt from the middle of some tracks of a library. It transposes it, stretches it in time,
filters it, lowers its level, compresses it to MP3 and adds noise. Every version is a query against the unchanged
excerpts of all tracks. It is recovered if its own excerpt is the most similar one by cosine; ties share the point. The
chance level is one in the number of tracks, so results are comparable only for equal numbers of tracks.

The notes below the table list which changes a space may react to. Melody and harmony should not depend on key and
tempo. Rhythm should tolerate small changes of tempo. Timbre may change where the spectrum changes.

The second table gives the z-score of a version with its own excerpt: how much more similar they are than random pairs
in the model's calibration, in standard deviations. 95 % intervals are exact binomial (Clopper-Pearson) in the first
table and bootstrapped over tracks in the second.

Reference: Laroche and Dolson, Improved Phase Vocoder Time-Scale Modification of Audio, IEEE Transactions on Speech
and Audio Processing 7, 1999 (time stretching with identity phase locking).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, TypeAlias

import click
import numpy as np

from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.options import Argument
from soundalike.core.types import FloatArray, IntArray, Report
from soundalike.evaluate.base import EncodedClips, Progress, Protocol, encode_clips, full_span, model_report
from soundalike.evaluate.estimates import Estimate, bootstrap, clopper_pearson

__all__ = ["CHANGES", "RATE", "SECONDS", "Change", "SelfTest", "create", "recovered", "stretch", "transpose"]

RATE = 44100
SECONDS = 15.0
_FRAME, _HOP = 2048, 512
_SEMITONES = 3
_PERCENT = 6
_LOW_PASS = 3000.0
_QUIETER = 20.0
_SNR = 15.0

Transform: TypeAlias = Callable[[FloatArray], FloatArray]


def stretch(samples: FloatArray, speed: float) -> FloatArray:
    """Change the tempo of audio at `RATE` Hz without changing its pitch, with a phase vocoder.

    The phase of every bin is locked to the nearest spectral peak. Otherwise the bins of one partial would drift apart.

    Args:
        samples: (t,) mono.
        speed: The tempo ratio; above 1 is faster.

    Returns:
        About t / speed samples, float32.

    Example:
        >>> faster = stretch(samples, 1.06)
    """
    window = np.hanning(_FRAME + 1)[:-1]
    padded = np.pad(samples.astype(np.float64), _FRAME)
    starts = np.arange(0, len(padded) - _FRAME, _HOP)
    spectra = np.fft.rfft(padded[starts[:, None] + np.arange(_FRAME)] * window, axis=1)
    size, angle = np.abs(spectra), np.angle(spectra)
    peaks = _peak_of_each_bin(size)
    # The position of each output frame between two input frames.
    position = np.arange(0, len(spectra) - 1, speed)
    first = position.astype(np.int64)
    fraction = (position - first)[:, None]
    magnitude = (1 - fraction) * size[first] + fraction * size[first + 1]
    # The phase of a peak advances at the frequency that is measured between the two input frames.
    expected = 2 * np.pi * _HOP * np.arange(spectra.shape[1]) / _FRAME
    deviation = angle[first + 1] - angle[first] - expected
    step = expected + deviation - 2 * np.pi * np.round(deviation / (2 * np.pi))
    phase = angle[0]
    total = np.zeros(_HOP * (len(position) - 1) + _FRAME)
    for n, frame in enumerate(first):
        total[n * _HOP : n * _HOP + _FRAME] += np.fft.irfft(magnitude[n] * np.exp(1j * phase), _FRAME) * window
        peak, target = peaks[frame + 1], angle[frame + 1]
        phase = (phase + step[n])[peak] + target - target[peak]
    margin = round(_FRAME / speed)
    # Squared Hann windows that overlap by three quarters sum to 3/2.
    return (total[margin : len(total) - _FRAME] / 1.5).astype(np.float32)


def _peak_of_each_bin(size: FloatArray) -> IntArray:
    """For each bin of magnitudes (f, b), the nearest bin that exceeds its two neighbours on each side: (f, b)."""
    padded = np.pad(size, ((0, 0), (2, 2)))
    neighbours = np.max([padded[:, :-4], padded[:, 1:-3], padded[:, 3:-1], padded[:, 4:]], axis=0)
    bins = np.arange(size.shape[1])
    nearest = np.tile(bins, (len(size), 1))
    for row, is_peak in zip(nearest, size > neighbours, strict=True):
        peaks = np.flatnonzero(is_peak)
        if len(peaks):
            row[:] = peaks[np.searchsorted((peaks[1:] + peaks[:-1]) / 2, bins)]
    return nearest


def transpose(samples: FloatArray, semitones: float) -> FloatArray:
    """Transpose audio (t,) at `RATE` Hz by `semitones` (negative: down) without changing its tempo: (about t,) float32.

    Example:
        >>> octave_up = transpose(samples, 12)
    """
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


def _unchanged(samples: FloatArray) -> FloatArray:
    return samples


def _transpose_and_stretch(samples: FloatArray) -> FloatArray:
    return transpose(stretch(samples, 1 + _PERCENT / 100), _SEMITONES)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a recording.

    Attributes:
        name: The name in the report.
        apply: Maps (t,) samples at `RATE` Hz to changed samples.
        suffix: The format of the file that the result is written to.
        preserves: The factors that the change should not affect.
    """

    name: str
    apply: Transform
    suffix: str
    preserves: frozenset[str]


_ALL = frozenset({"melody", "rhythm", "timbre", "harmony"})
_NOT_TIMBRE = _ALL - {"timbre"}
CHANGES = (
    Change("unchanged", _unchanged, ".wav", _ALL),
    Change(f"transpose +{_SEMITONES}", partial(transpose, semitones=_SEMITONES), ".wav", _NOT_TIMBRE),
    Change(f"stretch +{_PERCENT} %", partial(stretch, speed=1 + _PERCENT / 100), ".wav", _ALL),
    Change(f"stretch -{_PERCENT} %", partial(stretch, speed=1 - _PERCENT / 100), ".wav", _ALL),
    Change("transpose and stretch", _transpose_and_stretch, ".wav", _NOT_TIMBRE),
    Change(f"low-pass {_LOW_PASS / 1000:g} kHz", _low_pass, ".wav", _NOT_TIMBRE),
    Change(f"{_QUIETER:g} dB quieter", _quieter, ".wav", _ALL),
    Change("MP3", _unchanged, ".mp3", _ALL),
    Change(f"noise, {_SNR:g} dB SNR", _noise, ".wav", _NOT_TIMBRE),
)


def recovered(similarity: FloatArray) -> FloatArray:
    """Score whether each version is most similar to its own original.

    Args:
        similarity: (n, n), versions (rows) by originals (columns).

    Returns:
        (n,): 1 if version i is most similar to original i, 0 if another original is more similar, and 1 / (1 + m) for
        a tie with m others.

    Example:
        >>> recovered(np.array([[0.9, 0.2], [0.5, 0.5]])).tolist()
        [1.0, 0.5]
    """
    own = np.diagonal(similarity)[:, None]
    return np.where((similarity > own).any(axis=1), 0.0, 1.0 / (similarity == own).sum(axis=1))


@dataclass(frozen=True, slots=True)
class _VariantTask:
    """A track whose versions are written to `folder` / `name`-<n>."""

    path: Path
    start: float
    folder: Path
    name: str

    def files(self) -> list[Path]:
        """The files of the excerpt and of each changed version."""
        suffixes = [".wav", *(change.suffix for change in CHANGES)]
        return [self.folder / f"{self.name}-{n}{suffix}" for n, suffix in enumerate(suffixes)]


def _write_variants(task: _VariantTask) -> None:
    """Write all versions of one track; runs in a worker process."""
    import soundfile

    from soundalike.audio import MonoStream

    original = np.concatenate(list(MonoStream(task.path, RATE, start=task.start, end=task.start + SECONDS)))
    for file, change in zip(task.files(), [None, *CHANGES], strict=True):
        samples = change.apply(original) if change else original
        if file.suffix == ".wav":
            soundfile.write(file, samples, RATE, subtype="FLOAT")
        else:
            soundfile.write(file, np.clip(samples, -1, 1), RATE, format="MP3")


class SelfTest:
    """Recovered tracks, in per cent, and z-scores after every change (rows) in every space (columns)."""

    name: ClassVar[str] = "self"
    summary: ClassVar[str] = "your own library after known changes: what does each space still recognise?"

    def options(self) -> Sequence[click.Parameter]:
        """Return the library and `--tracks`."""
        return [
            Argument(["library"], type=click.Path(path_type=Path), metavar="LIBRARY", help="Folder of the library."),
            click.Option(["--tracks"], type=int, default=20, metavar="N", help="Number of tracks (default: 20)."),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return two reports: recovered tracks in per cent, and z-scores.

        Raises UsageError, LibraryError or ModelError.
        """
        import soundfile

        from soundalike.core.executors.base import run_tasks

        if "MP3" not in soundfile.available_formats():
            raise UsageError("the installed libsndfile cannot write MP3; install the soundfile package from PyPI")
        if args.tracks < 2:
            raise UsageError(f"--tracks {args.tracks}: expected at least 2")
        with tempfile.TemporaryDirectory(prefix="soundalike-self-") as folder:
            tasks = _choose_tracks(args.library, args.tracks, args.seed, Path(folder))
            done: list[_VariantTask] = []
            failed: list[SoundalikeError] = []
            outcomes = run_tasks(_write_variants, tasks, args.jobs)
            try:
                for task, outcome in outcomes:
                    if isinstance(outcome, SoundalikeError):
                        failed.append(outcome)
                    else:
                        done.append(task)
            finally:
                outcomes.close()
            done.sort(key=lambda task: task.name)  # tasks finish in any order
            if len(done) < 2:
                raise UsageError(f"{len(failed)} of {len(tasks)} tracks cannot be decoded; first error: {failed[0]}")
            clips = [full_span(file) for task in done for file in task.files()]
            encoded = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
            versions = encoded.positions(clips).reshape(len(done), 1 + len(CHANGES))
        return self._reports(encoded, versions, args, len(failed))

    def _reports(
        self, encoded: EncodedClips, versions: IntArray, args: SimpleNamespace, failed: int
    ) -> tuple[Report, ...]:
        """Build the reports; `versions` (n, 1 + changes) are the row numbers of each track's original and versions."""
        tracks = [str(n) for n in range(len(versions))]
        recovery: dict[str, Estimate] = {}
        z_scores: dict[str, Estimate] = {}
        for space in encoded.spaces:
            similarities = encoded.similarities(space)
            calibration = space.calibration["track"]
            outcomes, zs = [], []
            for column in versions.T[1:]:
                similarity = similarities[np.ix_(column, versions[:, 0])]
                outcomes.append(recovered(similarity))
                zs.append((np.diagonal(similarity) - calibration.mu) / calibration.sigma)
            # Exact intervals: a bootstrap has no width where all tracks are recovered.
            recovery[space.name] = clopper_pearson(np.sum(outcomes, axis=1), np.full(len(CHANGES), len(tracks)))
            z_scores[space.name] = bootstrap(np.stack(zs, axis=1), tracks, args.seed)
        omitted = [f"Left out because they cannot be decoded: {failed} tracks."] if failed else []

        report = partial(
            model_report,
            encoded,
            args,
            protocol=self.name,
            options=f"LIBRARY --tracks {args.tracks}",
            rows=[_row(change) for change in CHANGES],
        )
        data = f"{len(tracks)} tracks of a library"
        exact, resampled = "Intervals: Clopper-Pearson. n: tracks.", "Intervals: bootstrap over tracks. n: tracks."
        expected = _expected(space.name for space in encoded.spaces)
        return (
            report(
                recovery,
                f"Recovered after a change: {data}",
                chance=100 / len(tracks),
                notes=[exact, *expected, *omitted],
            ),
            report(z_scores, f"z after a change: {data}", chance=0.0, unit="", notes=[resampled, *omitted]),
        )


def _row(change: Change) -> str:
    """The name of a change and of the factors that it may affect."""
    affected = ", ".join(sorted(_ALL - change.preserves))
    return f"{change.name} ({affected} may change)" if affected else change.name


def _expected(spaces: Iterable[str]) -> list[str]:
    """One note per known space: the changes that may affect it."""
    known = [name for name in spaces if name in _ALL]
    lines = []
    for name in known:
        changes = [change.name for change in CHANGES if name not in change.preserves]
        effect = f"may change after: {', '.join(changes)}" if changes else "should not change"
        lines.append(f"Expected for {name}: {effect}.")
    return lines


def _choose_tracks(library: Path, count: int, seed: int, folder: Path) -> list[_VariantTask]:
    """Choose random tracks of distinct audio whose files exist. Raises UsageError if there are fewer than two."""
    from soundalike.library import LibraryFolder

    with LibraryFolder(library) as opened:
        tracks = {
            track.audio_hash: track
            for track in opened.catalog.tracks("NOT missing AND NOT unreadable")
            if track.path.is_file()
        }
    if len(tracks) < 2:
        raise UsageError(
            f"the library at {library} has {len(tracks)} distinct tracks with existing files; expected at least 2"
        )
    ordered = sorted(tracks.values(), key=lambda track: str(track.path))
    chosen = np.random.default_rng(seed).choice(len(ordered), size=min(count, len(ordered)), replace=False)
    return [
        _VariantTask(ordered[n].path, max(0.0, (ordered[n].duration - SECONDS) / 2), folder, f"{number:04d}")
        for number, n in enumerate(sorted(chosen.tolist()))
    ]


def create() -> Protocol:
    """Create the protocol."""
    return SelfTest()
