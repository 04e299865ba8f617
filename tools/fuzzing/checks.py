"""Read mutated inputs as soundalike reads them. The only exceptions are SoundalikeErrors of one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import SoundalikeError

__all__ = ["Case", "Outcome", "check", "library_files"]


@dataclass(frozen=True)
class Case:
    """A mutated input: what reads it, the seed that it was made from, its content, and whether to encode it fully."""

    number: int
    reader: str
    seed: str
    content: bytes | str
    encode: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of an input: "read", "warned" or "failed", or a fault. `message` is what the user sees."""

    kind: str
    message: str = ""
    memory: int = 0


def check(case: Case, folder: Path) -> Outcome:
    """Read one input. `folder` is empty and belongs to the caller. Raises whatever is a fault."""
    try:
        warning = _READERS[case.reader](case, folder)
    except SoundalikeError as error:
        message = str(error)
        if not message.strip() or "\n" in message:
            raise AssertionError(f"the message is not one line: {message!r}") from error
        return Outcome("failed", message)
    return Outcome("warned" if warning else "read", warning or "")


def _recording(case: Case, folder: Path) -> str | None:
    """Do what a worker of `index` does: hash, tags, decode with the fingerprint; encode some files with a model."""
    from soundalike.audio import MonoStream, read_tags
    from soundalike.core.files import content_hash
    from soundalike.models import load_once

    path = _written(case, folder, f"input.{_suffix(case.seed)}")
    content_hash(path)
    tags = read_tags(path)
    for value in (tags.bpm, tags.year):
        assert value is None or math.isfinite(value), f"a tag is {value}"
    if case.encode:
        encoding = load_once(("compact", "dsp")[case.number % 2]).encode(path)
        for rows in (*encoding.track.rows.values(), *encoding.passages.rows.values()):
            assert np.isfinite(rows).all(), "rows are not finite"
        info = encoding.info
    else:
        stream = MonoStream(path, 22_050, loudness=True)
        stream.read(_fingerprint)
        info = stream.info
    assert 0 < info.duration < math.inf, f"the recording lasts {info.duration} s"
    found = info.warning
    assert found is None or "\n" not in found, f"the warning is not one line: {found!r}"
    return found


def _fingerprint(blocks: Iterator[np.ndarray]) -> None:
    from soundalike.audio import Fingerprinter

    fingerprinter = Fingerprinter(22_050)
    for block in fingerprinter.tap(blocks):
        assert np.isfinite(block).all(), "samples are not finite"
    fingerprinter.words()


def _suffix(seed: str) -> str:
    return seed.partition("-")[0]


def _written(case: Case, folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert isinstance(case.content, bytes)
    path.write_bytes(case.content)
    return path


def _file(case: Case, folder: Path) -> str | None:
    kind = _suffix(case.seed)
    if kind == "recipe":
        return _recipe(case, folder)
    if kind == "midi":
        from soundalike.render.sources.midi import read_midi

        read_midi(case.content)  # type: ignore[arg-type]
    elif kind == "derived":
        from soundalike.core import mapped_arrays

        path = _written(case, folder, "cache.derived")
        for array in (mapped_arrays.load(folder, "cache", 7) or {}).values():
            array.sum()
        mapped_arrays.verify(path)
    else:
        _list(case)
    return None


def _recipe(case: Case, folder: Path) -> None:
    """Load a model whose recipe was mutated, and score with it as far as it loads."""
    from soundalike.models import Model, load_recipe

    path = _written(case, folder, "model/recipe.json")
    weights = load_recipe("dsp").weights
    (path.parent / weights.name).symlink_to(weights)
    Model.load(str(path.parent))


def _list(case: Case) -> None:
    """Read a list of files from standard input, as `soundalike index -` does."""
    import io
    import sys
    from types import SimpleNamespace

    from soundalike.cli import index

    before = sys.stdin
    sys.stdin = SimpleNamespace(buffer=io.BytesIO(case.content), isatty=lambda: False)  # type: ignore[assignment, arg-type]
    try:
        index._read_sources([Path("-")])
    finally:
        sys.stdin = before


def _text(case: Case, _: Path) -> str | None:
    assert isinstance(case.content, str)
    _text_readers()[_suffix(case.seed)](case.content)
    return None


@cache
def _text_readers() -> dict[str, Callable[[str], Any]]:
    from soundalike.audio import parse_key
    from soundalike.core.files import as_path
    from soundalike.library.catalog import parse_filter
    from soundalike.models import load_recipe, parse_weights
    from soundalike.search import parse_region

    return {
        "filter": parse_filter,
        "weights": parse_weights,
        "region": parse_region,
        "key": parse_key,
        "model": load_recipe,
        "path": lambda text: as_path(text, "path"),
    }


@cache
def library_files(folder: Path) -> dict[str, bytes]:
    """Return the files of the library that `Case.seed` names one of."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _library(case: Case, folder: Path) -> str | None:
    """Open, search and check a library of which one file was mutated; import an export of which one was."""
    from soundalike.library import LibraryFolder, check_library
    from soundalike.library.exchange import Export, import_library
    from soundalike.search import Query, search_library

    base, _, changed = case.seed.partition(":")
    for name, content in library_files(Path(base)).items():
        if name.startswith("export/") == changed.startswith("export/"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    _written(case, folder, changed)
    if changed.startswith("export/"):
        with Export(folder / "export") as export, LibraryFolder.create(folder / "library") as made:
            import_library(made, export)
        return None
    with LibraryFolder(folder) as library:
        for track in library.catalog.tracks()[:2]:
            search_library(library, Query(track.path, include_self=True, where="bpm > 1"))
        report = check_library(library)
    return None if report.ok else "corrupt"


_READERS: dict[str, Callable[[Case, Path], str | None]] = {
    "recording": _recording, "file": _file, "text": _text, "library": _library,
}  # fmt: skip
