"""Which soundfonts are there, what they are called, and which part of the split hears them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from soundalike.core.errors import UsageError
from soundalike.core.files import absolute
from soundalike.render.score.music import SplitPart
from soundalike.render.sound.fluid import load_fluidsynth

__all__ = ["KNOWN", "Soundfont", "check_fluidsynth", "find_soundfonts", "split_soundfonts"]


@dataclass(frozen=True, slots=True)
class Soundfont:
    """A soundfont: `bank` is its short name, `family` what it shares samples with, `package` the Debian package.

    `part` is "train" (heard in train and validation) or "test"; None is train, unless a test soundfont is wanting.
    """

    bank: str
    path: Path
    family: str
    part: SplitPart | None
    licence: str
    package: str


# What is looked for, by file name. What is under a copyleft licence is for test only: models do not learn from it.
KNOWN = (
    Soundfont("fluidr3", Path("FluidR3_GM.sf2"), "fluid", "train", "MIT", "fluid-soundfont-gm"),
    Soundfont(
        "musescore", Path("MuseScore_General_Lite.sf3"), "fluid", "train", "MIT", "musescore-general-soundfont-small"
    ),
    Soundfont("fluidr3mono", Path("FluidR3Mono_GM.sf3"), "fluid", "train", "MIT", "fluidr3mono-gm-soundfont"),
    Soundfont("csound", Path("sf_GMbank.sf2"), "csound", None, "public domain", "csound-soundfont"),
    Soundfont("timgm6mb", Path("TimGM6mb.sf2"), "timgm6mb", "test", "GPL-2", "timgm6mb-soundfont"),
    Soundfont("opl3", Path("OPL-3_FM_128M.sf2"), "opl3", "test", "CC-BY-SA-4.0", "opl3-soundfont"),
)

_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts")
_VARIABLE = "SOUNDALIKE_SOUNDFONTS"
_PACKAGES = " ".join(one.package for one in KNOWN)


def check_fluidsynth() -> None:
    """Raises UsageError, saying what to install, if pyfluidsynth or FluidSynth's library is missing."""
    try:
        load_fluidsynth()
    except (ImportError, OSError) as error:
        raise UsageError(
            f"FluidSynth is missing ({error}): pip install 'soundalike[render]' and apt install fluidsynth {_PACKAGES}"
        ) from error


def find_soundfonts(own: Sequence[str] = ()) -> tuple[Soundfont, ...]:
    """The soundfonts to use: `own`, each FILE, FILE=train or FILE=test, and nothing else; without any, what is known
    of what is in the folders of $SOUNDALIKE_SOUNDFONTS and the system's.

    An own file that is not known by its name is a family by itself; bank and family are its name without suffix.
    Raises UsageError if a file or folder is missing, if two files have one name, if a family is to be in both parts,
    or if there is no soundfont at all.
    """
    found = tuple(map(_own, own)) if own else _installed()
    if not found:
        raise UsageError(f"no soundfont found: apt install {_PACKAGES}, or give --soundfont FILE")
    for k, one in enumerate(found):
        for other in found[:k]:
            if one.bank == other.bank:
                raise UsageError(f"{other.path} and {one.path} are both called {one.bank}; leave one out or rename it")
            if one.family == other.family and (one.part == "test") != (other.part == "test"):
                raise UsageError(f"{other.path} and {one.path} share samples: give both =train or both =test")
    return found


def split_soundfonts(soundfonts: Sequence[Soundfont]) -> tuple[Soundfont, ...]:
    """The same soundfonts, each with its part said.

    Where none is for test, the smallest family of those that say nothing moves there, if another one is left to train.
    """
    test: str | None = None
    fixed = {one.family for one in soundfonts if one.part}
    movable = {one.family for one in soundfonts} - fixed
    if all(one.part != "test" for one in soundfonts) and movable and len(movable | fixed) > 1:
        test = min(sorted(movable), key=lambda family: _bytes(one for one in soundfonts if one.family == family))
    return tuple(replace(one, part=one.part or ("test" if one.family == test else "train")) for one in soundfonts)


def _bytes(soundfonts: Iterable[Soundfont]) -> int:
    return sum(one.path.stat().st_size for one in soundfonts)


def _own(value: str) -> Soundfont:
    """What a value of --soundfont means."""
    choices: dict[str, SplitPart] = {"train": "train", "test": "test"}
    head, _, choice = value.rpartition("=")
    name, part = (head, choices[choice]) if choice in choices else (value, None)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"there is no soundfont {name}; give --soundfont FILE, FILE=train or FILE=test")
    if path.stem == "voices" or path.stem.startswith("kit:"):
        raise UsageError(f"{name} has the name of a bank of our own; rename it")
    known = next((one for one in KNOWN if one.path.name == path.name), None)
    known = known or Soundfont(path.stem, path, path.stem, None, "unknown", "")
    return replace(known, path=absolute(path), part=part)


def _installed() -> tuple[Soundfont, ...]:
    own = [Path(folder) for folder in os.environ.get(_VARIABLE, "").split(os.pathsep) if folder]
    for folder in own:
        if not folder.is_dir():
            raise UsageError(f"${_VARIABLE} names {folder}, which is not a folder; correct or unset it")
    folders = (*own, *map(Path, _FOLDERS))
    places = ((one, next((folder for folder in folders if (folder / one.path).is_file()), None)) for one in KNOWN)
    return tuple(replace(one, path=absolute(folder / one.path)) for one, folder in places if folder)
