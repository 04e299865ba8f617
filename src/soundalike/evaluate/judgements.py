"""Judgements of listeners: triplets of clips, votes per question, and where the audio of the clips and their stems is.

Labels are CSV files with the columns x, a, b and answer, or the folder of Inst-Sim-ABX (`audio.datasets.inst_sim_abx`),
of which the mixes are used. An answer is A or B: which of the two sounds more like x. Optional columns are votes (how
many listeners gave the answer; 1), question (what they compared; total), and song_x, song_a and song_b (the songs that
the clips are from; by default every clip is a song of its own, and every track of Slakh2100).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from soundalike.audio import AUDIO_SUFFIXES
from soundalike.audio.datasets import QUESTIONS, has_majority, read_lines
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray

__all__ = [
    "MIX",
    "STEM_NAMES",
    "Clip",
    "Judgements",
    "clips_of_slakh",
    "merge_stems",
    "read_judgements",
    "segments_of_slakh",
]

MIX = "mix"
_COLUMNS = ("x", "a", "b", "answer")
_REGION = re.compile(r"(.+)@([0-9.]+)-([0-9.]+)")
STEM_NAMES: Mapping[str, str] = {"residuals": "other", "mixture": MIX}
"""Other names of stems, and what they are called here."""
_OF_FOUR = {"guitar": "other", "piano": "other"}


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that listeners heard.

    Attributes:
        name: What the labels call it.
        files: The files of the mix, under "mix", and of each stem; several are summed.
        song: The song that it is from.
        start: Start in seconds within the files.
        end: End in seconds; infinity is the end of the files.
    """

    name: str
    files: Mapping[str, tuple[Path, ...]]
    song: str
    start: float = 0.0
    end: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """Votes on m triplets of clips.

    Attributes:
        clips: The clips.
        triplets: (m, 3) numbers of clips: X, A and B.
        votes: Per question, (m, 2) votes for A and for B.
        tests: m names of tests, such as "XAB" and "XYC", or "".
    """

    clips: tuple[Clip, ...]
    triplets: IntArray
    votes: Mapping[str, IntArray]
    tests: tuple[str, ...]

    def songs(self) -> list[tuple[str, str, str]]:
        """Return the songs of X, A and B of every triplet."""
        names = [clip.song for clip in self.clips]
        return [(names[x], names[a], names[b]) for x, a, b in self.triplets.tolist()]

    def majority(self, question: str, share: Fraction, *, strict: bool = True) -> tuple[IntArray, FloatArray]:
        """Return the triplets on which enough votes agree, and the answers: 1 for A, -1 for B.

        Args:
            question: A key of `votes`.
            share: The share of the votes that must agree.
            strict: Whether it must be more than this share, or at least this share.

        Returns:
            Positions (p,) and answers (p,).

        Example:
            >>> chosen, answers = judgements.majority("total", Fraction(3, 4))
        """
        pairs = [(int(a), int(b)) for a, b in self.votes[question]]
        chosen = [n for n, pair in enumerate(pairs) if has_majority(pair, share, strict=strict)]
        answers = [1.0 if pairs[n][0] > pairs[n][1] else -1.0 for n in chosen]
        return np.array(chosen, dtype=np.int64), np.array(answers)


def read_judgements(labels: Sequence[Path], audio: Path | None = None, slakh: Path | None = None) -> Judgements:
    """Read judgements, and find the audio of their clips.

    Args:
        labels: CSV files, or one folder of Inst-Sim-ABX.
        audio: The folder that the names of the clips start from. A name is a file, or a folder with one file per stem
            (vocals, drums, bass, guitar, piano, other) and the mix, which is otherwise their sum.
        slakh: A folder in the layout of Slakh2100; a name is a track, as Track00001, or a part of it in seconds, as
            Track00001@30-35.

    Returns:
        The judgements.

    Raises:
        UsageError: The labels are invalid, both or neither of the folders are given, or a clip does not exist.

    Example:
        >>> judgements = read_judgements([Path("labels.csv")], Path("clips"))
    """
    if labels[0].is_dir():
        if len(labels) > 1:
            raise UsageError(f"{labels[0]} is a folder; give only it, or CSV files")
        return _inst_sim_abx(labels[0], audio, slakh)
    if (audio is None) == (slakh is None):
        raise UsageError("give the folder of the clips with --audio, or of Slakh2100 with --slakh")
    find = _clips_below(audio) if audio else clips_of_slakh(slakh or Path())
    responses = [one for path in labels for one in _responses(path)]
    if not responses:
        raise UsageError(f"{', '.join(map(str, labels))}: no responses")
    pooled: dict[tuple[str, str, str], dict[str, list[int]]] = {}
    songs: dict[str, str] = {}
    for row in responses:
        pair = (row["a"], row["b"])
        key = (row["x"], *sorted(pair))
        votes = pooled.setdefault(key, {}).setdefault(row["question"], [0, 0])  # type: ignore[arg-type]
        votes[(row["answer"].upper() == "B") != (pair[0] > pair[1])] += int(row["votes"])
        songs |= {row[role]: row[f"song_{role}"] for role in "xab" if row[f"song_{role}"]}
    questions = list(dict.fromkeys(row["question"] for row in responses))
    clips = {name: find(name) for key in pooled for name in key}
    named = [Clip(n, one.files, songs.get(n, one.song), one.start, one.end) for n, one in clips.items()]
    index = {clip.name: n for n, clip in enumerate(named)}
    return Judgements(
        tuple(named),
        np.array([[index[name] for name in key] for key in pooled], dtype=np.int64),
        {question: np.array([votes.get(question, [0, 0]) for votes in pooled.values()]) for question in questions},
        ("",) * len(pooled),
    )


def _responses(path: Path) -> Iterator[dict[str, str]]:
    """The checked lines of a file, with all columns."""
    for where, full in read_lines(path, _COLUMNS):
        row = {name: (full.get(name) or "").strip() for name in (*_COLUMNS, "song_x", "song_a", "song_b")}
        row |= {"votes": full.get("votes") or "1", "question": full.get("question") or QUESTIONS[0]}
        if row["answer"].upper() not in ("A", "B"):
            raise UsageError(f"{where}: the answer is {row['answer']!r}; expected A or B")
        if not re.fullmatch(r"\d{1,9}", row["votes"]):
            raise UsageError(f"{where}: votes is {row['votes']!r}; expected a number, such as 7")
        if not all(row[role] for role in "xab") or row["a"] == row["b"]:
            raise UsageError(f"{where}: x, a and b must not be empty, nor a the same as b")
        yield row


def _clips_below(root: Path) -> Callable[[str], Clip]:
    """Find the clips of names that are relative to a folder."""
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give the folder that the names of the clips start from")

    def find(name: str) -> Clip:
        path = root / name
        if path.is_dir():
            found: dict[str, tuple[Path, ...]] = {}
            for file in sorted(path.iterdir()):
                if file.suffix.lower() in AUDIO_SUFFIXES:
                    stem = STEM_NAMES.get(file.stem.lower(), file.stem.lower())
                    found[stem] = (*found.get(stem, ()), file)
            if not found:
                raise UsageError(f"{path} holds no audio; expected one file per stem, and the mix")
            found.setdefault(MIX, tuple(file for files in found.values() for file in files))
            return Clip(name, found, name)
        if not path.is_file():
            raise UsageError(f"{path} does not exist; the labels name it as a clip")
        return Clip(name, {MIX: (path,)}, name)

    return find


def clips_of_slakh(root: Path) -> Callable[[str], Clip]:
    """Return a function that finds tracks of Slakh2100, or parts of them, by names such as Track00001@30-35.

    It raises UsageError if there is no such track.

    Example:
        >>> clips_of_slakh(Path("slakh2100"))("Track00001@30-35").song
        'Track00001'
    """
    tracks = {track.name: track for track in plugins.load("datasets", "slakh2100", root=root).tracks()}

    def find(name: str) -> Clip:
        region = _REGION.fullmatch(name)
        song, start, end = (region[1], float(region[2]), float(region[3])) if region else (name, 0.0, math.inf)
        track = tracks.get(song)
        if track is None:
            raise UsageError(f"{root} holds no track {song}; the labels name it")
        if not start < end:
            raise UsageError(f"{name}: the part ends before it starts; expected TRACK@START-END in seconds")
        stems = {STEM_NAMES.get(label, label): files for label, files in track.by_class().items()}
        return Clip(name, {MIX: (track.mix,), **stems}, song, start, end)

    return find


def segments_of_slakh(root: Path, slakh: Path) -> Callable[[str], Clip]:
    """Return a function that finds the segments of Slakh2100 that the clips of Inst-Sim-ABX are, by their paths.

    Args:
        root: The folder of Inst-Sim-ABX.
        slakh: The folder of Slakh2100.

    Raises:
        UsageError: One of the folders is incomplete. So does the function for an unknown clip.

    Example:
        >>> segments_of_slakh(Path("Inst-Sim-ABX-Dataset"), Path("slakh2100"))("set2/1/bass/X_2086-27.wav").song
        'Track02086'
    """
    segments = plugins.load("datasets", "inst_sim_abx", root=root).segments()
    tracks = clips_of_slakh(slakh)

    def find(name: str) -> Clip:
        segment = segments.get(name)
        if segment is None:
            raise UsageError(f"the configurations of {root} do not say where {name} is from")
        return replace(tracks(segment.track), name=name, start=segment.start, end=segment.end)

    return find


def _inst_sim_abx(root: Path, audio: Path | None, slakh: Path | None) -> Judgements:
    """The votes on mixes. Clips are segments of Slakh2100, or files below `audio` or beside the labels."""
    dataset = plugins.load("datasets", "inst_sim_abx", root=root)
    ballots = [ballot for ballot in dataset.ballots() if ballot.instrument == MIX]
    if not ballots:
        raise UsageError(f"{root} has no judgements on mixes")
    find = segments_of_slakh(root, slakh) if slakh else _clips_below(audio or root)
    names = dict.fromkeys(name for ballot in ballots for name in (ballot.reference, *ballot.samples))
    clips = {name: replace(find(name), song=dataset.song_of(name)) for name in names}
    index = {name: n for n, name in enumerate(clips)}
    return Judgements(
        tuple(clips.values()),
        np.array([[index[name] for name in (one.reference, *one.samples)] for one in ballots], dtype=np.int64),
        {question: np.array([one.votes[question] for one in ballots]) for question in QUESTIONS},
        tuple(one.test for one in ballots),
    )


def merge_stems(files: Mapping[str, tuple[Path, ...]], count: int) -> dict[str, tuple[Path, ...]]:
    """Return the files of the mix and of 4 or 6 stems: with 4, guitar and piano are part of other.

    Example:
        >>> list(merge_stems({"mix": (m,), "piano": (p,), "other": (o,)}, 4))
        ['mix', 'other']
    """
    merged: dict[str, tuple[Path, ...]] = {}
    for stem, paths in files.items():
        name = _OF_FOUR.get(stem, stem) if count == 4 else stem
        merged[name] = (*merged.get(name, ()), *paths)
    return merged
