"""Dataset `slakh2100`: the stems of the synthesised songs of Slakh2100, by class.

`soundalike render songs` writes the same layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from soundalike.audio.datasets.base import About, existing_folder, first_of
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["STEM_CLASSES", "Slakh2100", "SlakhStem", "SlakhTrack", "create", "read_metadata", "stem_class"]

STEM_CLASSES = ("bass", "drums", "guitar", "piano", "residuals", "vocals")
_SUBSETS = ("test", "train", "validation")
_SUFFIXES = (".flac", ".wav")


def create(root: Path, redux: Path | None = None) -> Slakh2100:
    """Return the dataset in the folder that holds `train`, `validation` and `test`, or one of them, or the tracks.

    Args:
        root: The folder.
        redux: The file redux.json of slakh-utils, which leaves out tracks with the same MIDI file as another one, and
            says which subset the rest belongs to.

    Raises:
        UsageError: `root` is not a folder, or `redux` cannot be read.

    Example:
        >>> next(create(Path("slakh2100_flac_redux")).items()).labels
        {'label': 'bass', 'song': 'Track01876', 'subset': 'test'}
    """
    return Slakh2100(existing_folder(root, Slakh2100.about), _subsets_of(redux) if redux else None)


def stem_class(program: int, *, is_drum: bool, sung: bool = False) -> str:
    """Return the class of a stem, one of `STEM_CLASSES`, from its General MIDI program (0 to 127; 128 is drums).

    Example:
        >>> stem_class(33, is_drum=False)
        'bass'
    """
    if sung:
        return "vocals"
    if is_drum or program == 128:
        return "drums"
    return {0: "piano", 3: "guitar", 4: "bass"}.get(program // 8, "residuals")


@dataclass(frozen=True, slots=True)
class SlakhStem:
    """One stem of a track.

    Attributes:
        name: Such as "S01".
        path: Its audio file.
        midi: Its MIDI file, which need not exist.
        label: Its class, one of `STEM_CLASSES`.
        program: General MIDI program; 128 for drums.
        loudness: Integrated loudness in LUFS as the metadata has it; None without.
    """

    name: str
    path: Path
    midi: Path
    label: str
    program: int
    loudness: float | None


@dataclass(frozen=True, slots=True)
class SlakhTrack:
    """One song: its mix and its stems that have audio."""

    name: str
    subset: str
    mix: Path
    stems: tuple[SlakhStem, ...]

    def by_class(self) -> dict[str, tuple[Path, ...]]:
        """Return the files of every class that occurs, by the name of the class."""
        found: dict[str, tuple[Path, ...]] = {}
        for label in STEM_CLASSES:
            if files := tuple(stem.path for stem in self.stems if stem.label == label):
                found[label] = files
        return found


def read_metadata(text: str) -> dict[str, dict[str, str]]:
    """Return the entries of the stems of a metadata.yaml, by the name of the stem.

    It reads the block style that Slakh2100 has: a key `stems` with a mapping of names to mappings of plain values.

    Example:
        >>> read_metadata("stems:\\n  S00:\\n    program_num: 33\\n")
        {'S00': {'program_num': '33'}}
    """
    stems: dict[str, dict[str, str]] = {}
    inside, name, depth, inner = False, "", 0, 0
    for line in text.splitlines():
        key, colon, value = line.strip().partition(":")
        indent = len(line) - len(line.lstrip())
        if not colon or key.startswith("#"):
            continue
        if indent == 0:
            inside = key == "stems"
        elif inside and (not stems or indent <= depth):
            name, depth, inner = key.strip("'\""), indent, 0
            stems[name] = {}
        elif inside:
            inner = inner or indent
            if indent == inner:  # MedleyDB lists the microphones of a stem below it
                stems[name][key] = value.strip().strip("'\"")
    return stems


class Slakh2100:
    """One item per song and class: the sum of the stems of the class. Mixes are left out: they have no class."""

    about: ClassVar[About] = About(
        title="Slakh2100",
        citation="Manilow, Wichern, Seetharaman and Le Roux, Cutting Music Source Separation Some Slakh: A Dataset to "
        "Study the Impact of Training Data Quality and Quantity, WASPAA 2019, arXiv:1909.08494",
        licence="CC BY 4.0",
        home="https://zenodo.org/records/4599666",
        layout="{train,validation,test}/TrackXXXXX/{metadata.yaml,mix.flac,stems/SXX.flac,MIDI/SXX.mid}",
    )

    def __init__(self, root: Path, subsets: Mapping[str, str | None] | None = None) -> None:
        self.root = root
        self._subsets = subsets

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """Subset and folder of every track that is used."""
        places = [(name, self.root / name) for name in _SUBSETS if (self.root / name).is_dir()]
        for subset, place in places or [("", self.root)]:
            for folder in sorted(place.glob("Track*")):
                used = self._subsets.get(folder.name, subset) if self._subsets else subset
                if folder.is_dir() and used is not None:
                    yield used, folder

    @cached_property
    def _read(self) -> tuple[tuple[SlakhTrack, ...], str | None]:
        """The tracks, and what is missing."""
        tracks, lacking = [], []
        for subset, folder in self._folders():
            try:
                text = (folder / "metadata.yaml").read_text(encoding="utf-8")
            except (OSError, UnicodeError):
                lacking.append(f"{folder.name}/metadata.yaml")
                continue
            mix = _audio(folder / "mix")
            if mix is None:
                lacking.append(f"{folder.name}/mix.flac")
                continue
            stems = []
            for name, entry in read_metadata(text).items():
                if entry.get("audio_rendered", "true").lower() == "false":
                    continue
                path = _audio(folder / "stems" / name)
                if path is None:
                    lacking.append(f"{folder.name}/stems/{name}.flac")
                    continue
                stems.append(_stem(name, path, folder / "MIDI" / f"{name}.mid", entry))
            tracks.append(SlakhTrack(folder.name, subset, mix, tuple(stems)))
        if lacking:
            return (), f"{self.root} lacks {first_of(lacking, most=2)}; expected {self.about.layout}"
        if not tracks:
            return (), f"{self.root} holds no tracks; expected {self.about.layout}"
        return tuple(tracks), None

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return self._read[1]

    def tracks(self) -> tuple[SlakhTrack, ...]:
        """Return all tracks, sorted by subset and name. Raises UsageError if something is missing."""
        if problem := self.missing():
            raise UsageError(problem)
        return self._read[0]

    def items(self) -> Iterator[Item]:
        """Yield the classes of every track. Raises UsageError if something is missing."""
        for track in self.tracks():
            for label, files in track.by_class().items():
                labels = {"label": label, "song": track.name, "subset": track.subset}
                yield Item(files[0], {file.stem: file for file in files}, labels)


def _stem(name: str, path: Path, midi: Path, entry: Mapping[str, str]) -> SlakhStem:
    try:
        program = int(entry["program_num"])
        loudness = float(entry["integrated_loudness"]) if "integrated_loudness" in entry else None
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"{path.parents[1] / 'metadata.yaml'}: stem {name} has no valid program_num and integrated_loudness "
            f"({error}); expected a General MIDI program and a number of LUFS"
        ) from error
    label = stem_class(
        program,
        is_drum=entry.get("is_drum", "false").lower() == "true",
        sung=entry.get("inst_class", "").lower() == "vocals",
    )
    return SlakhStem(name, path, midi, label, program, loudness)


def _audio(stem: Path) -> Path | None:
    return next((file for suffix in _SUFFIXES if (file := stem.with_name(stem.name + suffix)).is_file()), None)


def _subsets_of(path: Path) -> dict[str, str | None]:
    """The subset of every track of redux.json; None for those that it leaves out."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        return {name: None if entry["action"] == "omit" else str(entry["source_split"]) for name, entry in body.items()}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not the file redux.json of slakh-utils ({error}); expected "
            '{"TrackXXXXX": {"action": null or "omit", "source_split": ...}}'
        ) from error
