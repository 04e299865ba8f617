"""Find soundfonts, and assign them to the parts of the split."""

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
    """A soundfont.

    Attributes:
        bank: The short name.
        path: The file.
        family: The name of the group of soundfonts that share samples.
        part: "train" (used in train and validation) or "test". None is train, unless no other soundfont is for test.
        licence: The licence of the samples.
        package: The Debian package, or "".
    """

    bank: str
    path: Path
    family: str
    part: SplitPart | None
    licence: str
    package: str


# Known soundfonts, by file name. Those under a copyleft licence are only used for test, so no model is trained on them.
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
_PACKAGES = " ".join(soundfont.package for soundfont in KNOWN)


def check_fluidsynth() -> None:
    """Check that pyfluidsynth and the FluidSynth library can be loaded.

    Raises:
        UsageError: One of them is missing. The message tells what to install.

    Example:
        >>> check_fluidsynth()
    """
    try:
        load_fluidsynth()
    except (ImportError, OSError) as error:
        raise UsageError(
            f"FluidSynth is missing ({error}): pip install 'soundalike[render]' and apt install fluidsynth {_PACKAGES}"
        ) from error


def find_soundfonts(values: Sequence[str] = ()) -> tuple[Soundfont, ...]:
    """Find the soundfonts to use.

    Args:
        values: Values of `--soundfont`, each FILE, FILE=train or FILE=test. If there are any, only these files are
            used. Otherwise the known soundfonts in `$SOUNDALIKE_SOUNDFONTS` and the system folders are used.

    Returns:
        The soundfonts. A file with an unknown name is a bank and family of its own, named after the file.

    Raises:
        UsageError: A file or folder is missing, two files have the same name, files of a family are assigned to both
            parts, or there is no soundfont.

    Example:
        >>> soundfonts = find_soundfonts(["piano.sf2", "organ.sf2=test"])
        >>> [soundfont.bank for soundfont in soundfonts]
        ['piano', 'organ']
    """
    found = tuple(map(_parse_value, values)) if values else _installed()
    if not found:
        raise UsageError(f"no soundfont found: apt install {_PACKAGES}, or give --soundfont FILE")
    for k, soundfont in enumerate(found):
        for other in found[:k]:
            if soundfont.bank == other.bank:
                raise UsageError(
                    f"{other.path} and {soundfont.path} are both called {soundfont.bank}; leave one out or rename it"
                )
            if soundfont.family == other.family and (soundfont.part == "test") != (other.part == "test"):
                raise UsageError(f"{other.path} and {soundfont.path} share samples; give both =train or both =test")
    return found


def split_soundfonts(soundfonts: Sequence[Soundfont]) -> tuple[Soundfont, ...]:
    """Assign a part to every soundfont.

    Soundfonts without a part go to train. If no soundfont is for test, the smallest family without a part goes to test,
    provided that another family remains for train.

    Example:
        >>> parts = {soundfont.bank: soundfont.part for soundfont in split_soundfonts(find_soundfonts())}
    """
    test: str | None = None
    fixed = {soundfont.family for soundfont in soundfonts if soundfont.part}
    movable = {soundfont.family for soundfont in soundfonts} - fixed
    if all(soundfont.part != "test" for soundfont in soundfonts) and movable and len(movable | fixed) > 1:
        test = min(sorted(movable), key=lambda family: _family_bytes(soundfonts, family))
    return tuple(
        replace(soundfont, part=soundfont.part or ("test" if soundfont.family == test else "train"))
        for soundfont in soundfonts
    )


def _family_bytes(soundfonts: Iterable[Soundfont], family: str) -> int:
    return sum(soundfont.path.stat().st_size for soundfont in soundfonts if soundfont.family == family)


def _parse_value(value: str) -> Soundfont:
    """Return the soundfont of a value of --soundfont."""
    choices: dict[str, SplitPart] = {"train": "train", "test": "test"}
    head, _, choice = value.rpartition("=")
    name, part = (head, choices[choice]) if choice in choices else (value, None)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"the soundfont {name} does not exist; give --soundfont FILE, FILE=train or FILE=test")
    if path.stem in ("voices", "singers") or path.stem.startswith("kit:"):
        raise UsageError(f"{name} has the name of a built-in bank; rename it")
    known = next((soundfont for soundfont in KNOWN if soundfont.path.name == path.name), None)
    known = known or Soundfont(path.stem, path, path.stem, None, "unknown", "")
    return replace(known, path=absolute(path), part=part)


def _installed() -> tuple[Soundfont, ...]:
    """Return the known soundfonts in $SOUNDALIKE_SOUNDFONTS and the system folders."""
    listed = [Path(folder) for folder in os.environ.get(_VARIABLE, "").split(os.pathsep) if folder]
    for folder in listed:
        if not folder.is_dir():
            raise UsageError(f"${_VARIABLE} names {folder}, which is not a folder; correct or unset it")
    folders = (*listed, *map(Path, _FOLDERS))
    places = (
        (soundfont, next((folder for folder in folders if (folder / soundfont.path).is_file()), None))
        for soundfont in KNOWN
    )
    return tuple(replace(soundfont, path=absolute(folder / soundfont.path)) for soundfont, folder in places if folder)
