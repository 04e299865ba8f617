"""Separation: how near are the stems of a separator to the true ones?

    soundalike evaluate separation --data MUSDB18HQ --with spleeter
    soundalike evaluate separation --data SLAKH --with unet

The folder is MUSDB18-HQ, {train,test}/<artist - title>/{vocals,drums,bass,other}.wav, or holds a table stems.csv with
the columns song, path and stem_class; stems of one class are then summed. Or it is Slakh2100, or what `soundalike
render songs` writes: then --part is used, without a second track from the same MIDI file, and every stem that the
separator has is measured. The mix is the sum of the stems.

The measure is the signal-to-distortion ratio by museval's definition (BSS Eval version 4): the median over frames of
one second, then over songs. The row "mix" is that of the mix in the place of every stem: what doing nothing reaches.
Stems that the data does not tell apart, such as guitar and piano, count as part of "other".

Frames are left out in which a stem is silent: in MUSDB18-HQ for all stems, as museval does; in Slakh2100 for this stem
alone, because songs there lack instruments. Songs without an instrument have no value for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import click
import numpy as np

from soundalike.audio.datasets import SUBSETS, find_songs
from soundalike.audio.separators import Separator
from soundalike.core import plugins
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import FloatArray, Item, Report
from soundalike.evaluate.base import Progress, Protocol, check_folder
from soundalike.evaluate.estimates import Estimate
from soundalike.evaluate.mes_pieces import SIX
from soundalike.evaluate.reports import make_report
from soundalike.evaluate.sdr import instrument_sdr, median_over_songs, song_sdr

__all__ = ["Separation", "create"]

_CLASSES = ("vocals", "drums", "bass", "other")


class Separation:
    """SDR of the stems of a separator in dB, over songs and per song."""

    name: ClassVar[str] = "separation"
    summary: ClassVar[str] = "the stems of a separator beside the true ones, by museval's SDR"

    def options(self) -> Sequence[click.Parameter]:
        """Return the options: the data and the separator."""
        names = [name for name in plugins.names("separators") if name != "given"]
        return (
            click.Option(["--data"], required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder."),
            click.Option(["--with", "separator"], default="spleeter", type=click.Choice(names), help="The separator."),
            click.Option(
                ["--part"],
                default="test",
                show_default=True,
                type=click.Choice([*SUBSETS, "all"]),
                help="The part of Slakh2100.",
            ),
        )

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return the SDR over songs of two stems, of all that data and separator have, and per song.

        Raises UsageError, AudioError or ModelError.
        """
        check_folder(args.data, "MUSDB18-HQ, Slakh2100, or with stems.csv")
        if next(args.data.glob("*/Track*"), None):
            return _measure_instruments(args, progress)
        member = "stem_table" if (args.data / "stems.csv").exists() else "musdb18hq"
        songs: dict[str, list[Item]] = {}
        for item in plugins.load("datasets", member, root=args.data).items():
            songs.setdefault(item.labels["song"], []).append(item)
        if not songs or any("vocals" not in {one.labels["label"] for one in items} for items in songs.values()):
            raise UsageError(f"{args.data} has songs without vocals, or none; expected a stem of every class")
        separator: Separator = plugins.load("separators", args.separator)
        targets = ["vocals", "accompaniment"]
        if set(_CLASSES) <= set(separator.stems):
            targets += [name for name in _CLASSES if name != "vocals"]
        rows, seconds = [], 0.0
        for number, (song, items) in enumerate(sorted(songs.items()), start=1):
            true = _true_stems(items, separator.rate)
            found = _separated(separator, np.sum(list(true.values()), axis=0), song)
            rows.append(_measure(true, found, targets, separator.rate))
            seconds += true["vocals"].shape[1] / separator.rate
            if progress:
                progress(number, len(songs), seconds)
        return _reports(np.array(rows), sorted(songs), targets, args)


def create() -> Protocol:
    """Create the protocol."""
    return Separation()


def _true_stems(items: Sequence[Item], rate: int) -> dict[str, FloatArray]:
    """Return the true stems of a song as (2, t) by class, all as long as the longest file."""
    from soundalike.audio.stereo import StereoStream

    parts: dict[str, list[FloatArray]] = {}
    for item in items:
        for path in item.stems.values() if item.stems else [item.path]:
            signal = np.concatenate(list(StereoStream(path, rate)), axis=1)
            parts.setdefault(item.labels["label"], []).append(signal)
    length = max(signal.shape[1] for signals in parts.values() for signal in signals)
    stems = {}
    for name, signals in parts.items():
        stems[name] = np.zeros((2, length), np.float32)
        for signal in signals:
            stems[name][:, : signal.shape[1]] += signal
    return stems


def _measure_instruments(args: SimpleNamespace, progress: Progress | None) -> tuple[Report, ...]:
    """Measure every stem of a separator on songs in the layout of Slakh2100."""
    songs = [song for song in find_songs(args.data, SIX) if args.part in (song.subset, "all")]
    if not songs:
        raise UsageError(f"{args.data} has no songs of the part {args.part}")
    separator: Separator = plugins.load("separators", args.separator)
    targets = list(separator.stems)
    rows, seconds = [], 0.0
    for number, song in enumerate(songs, start=1):
        items = [Item(files[0], {str(file): file for file in files}, {"label": name})
                 for name, files in song.stems.items()]  # fmt: skip
        true = _true_stems(items, separator.rate)
        found = _separated(separator, np.sum(list(true.values()), axis=0), song.name)
        mix = dict.fromkeys(targets, found["mix"])
        rows.append(
            [instrument_sdr(true, {name: one[name] for name in targets}, separator.rate) for one in (found, mix)]
        )
        seconds += found["mix"].shape[1] / separator.rate
        if progress:
            progress(number, len(songs), seconds)
    values = np.array(rows)
    present = [index for index in range(len(targets)) if not np.isnan(values[:, 0, index]).all()]
    names = [targets[index] for index in present]
    if not names:
        raise UsageError(f"no song has any of the stems {', '.join(targets)}")
    part = "" if args.part == "test" else f" --part {args.part}"
    made = {
        "protocol": Separation.name,
        "model": args.separator,
        "unit": "",
        "command": f"soundalike evaluate separation --data {args.data.name} --with {args.separator}{part}",
        "chance": [np.nan] * len(names),
    }
    columns = {f"{name} (dB)": _column(values, index, args.seed) for name, index in zip(names, present, strict=True)}
    note = "Per stem, without the frames of one second in which it is silent. n: songs with this instrument."
    title = f"Separation: stems of {len(songs)} songs, SDR per instrument"
    return (
        make_report(columns, rows=["stems", "mix"], title=title, notes=[note], **made),
        _per_song(values[:, :, present], [song.name for song in songs], names, made),
    )


def _separated(separator: Separator, mix: FloatArray, song: str) -> dict[str, FloatArray]:
    """Return the stems of a mix (2, t) and the mix itself, by name."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mix.wav"
        soundfile.write(path, mix.T, separator.rate, subtype="FLOAT")
        try:
            blocks = list(separator.separate(path))
        except AudioError as error:
            raise AudioError(f"{song}: {error}") from error
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in separator.stems} | {"mix": mix}


def _measure(
    true: Mapping[str, FloatArray], found: Mapping[str, FloatArray], targets: Sequence[str], rate: int
) -> FloatArray:
    """Return the SDR (2, targets) of the separated stems and of the mix. Frames are compared per set of stems."""
    accompaniment = sum(signal for name, signal in true.items() if name != "vocals")
    references = {**true, "accompaniment": accompaniment}
    stems = {name: signal for name, signal in found.items() if name != "mix"}
    others = [signal for name, signal in stems.items() if name not in true and name != "accompaniment"]
    estimates = {name: signal for name, signal in stems.items() if name in true}
    if "other" in estimates:
        estimates["other"] = np.sum([estimates["other"], *others], axis=0)
    estimates["accompaniment"] = stems.get(
        "accompaniment", np.sum([signal for name, signal in stems.items() if name != "vocals"], axis=0)
    )
    rows = []
    for signals in (estimates, dict.fromkeys(targets, found["mix"])):
        values = []
        for group in (targets[:2], targets[2:]):
            if group:
                stacked = [np.stack([one[name] for name in group]) for one in (references, signals)]
                values += list(song_sdr(stacked[0], stacked[1], rate))
        rows.append(values)
    return np.array(rows)


def _reports(
    values: FloatArray, songs: Sequence[str], targets: Sequence[str], args: SimpleNamespace
) -> tuple[Report, ...]:
    """Return the reports for values (songs, 2, targets)."""
    command = f"soundalike evaluate separation --data {args.data.name} --with {args.separator}"
    shared = {"protocol": Separation.name, "model": args.separator, "unit": "", "command": command}
    reports = []
    for group, title in ((slice(0, 2), "vocals and accompaniment"), (slice(2, None), "drums, bass and other")):
        names = targets[group]
        if names:
            columns = {
                f"{name} (dB)": _column(values[:, :, group], index, args.seed) for index, name in enumerate(names)
            }
            reports.append(
                make_report(
                    columns,
                    rows=["stems", "mix"],
                    chance=[np.nan] * len(names),
                    title=f"Separation: {title} of {len(songs)} songs, SDR",
                    **shared,
                )
            )
    return *reports, _per_song(values, songs, targets, {**shared, "chance": [np.nan] * len(targets)})


def _per_song(values: FloatArray, songs: Sequence[str], targets: Sequence[str], shared: Mapping[str, Any]) -> Report:
    nothing = np.full(len(songs), np.nan)
    columns = {
        f"{name} (dB)": Estimate(
            values[:, 0, index], nothing, nothing, (~np.isnan(values[:, 0, index])).astype(np.int64)
        )
        for index, name in enumerate(targets)
    }
    return make_report(columns, rows=songs, title=f"Separation: SDR of each of {len(songs)} songs", **shared)


def _column(values: FloatArray, index: int, seed: int) -> Estimate:
    return median_over_songs(values[:, :, index], seed)
