"""Find the licence of weights: that of the published ones, or what another repository states."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from soundalike.core.errors import one_line
from soundalike.train.published.sources import Source, UnreachableError

__all__ = ["with_licence"]

_CARD = "README.md"
_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md")
_LICENCE = re.compile(r"^license:(?:[ \t]*\n[ \t]*-)?[ \t]*(\S.*)$", re.MULTILINE)
_NAME = re.compile(r"^license_name:[ \t]*(\S.*)$", re.MULTILINE)
_READ = 65_536  # characters of a model card or licence; what is needed is at the beginning
_LONGEST = 100


def with_licence(source: Source, origin: str | None, licence: str, credit: str) -> Source:
    """Return a source with its licence and with whom to credit.

    A folder or repository other than the published one is asked for its licence. Local files that state none are taken
    for copies of the published ones.

    Args:
        source: The source.
        origin: The id of the published repository, if there is one.
        licence: The licence of the published files.
        credit: Whom to credit for the published files.

    Raises:
        ModelError: The repository does not exist, or is only for users who accepted its terms.

    Example:
        >>> with_licence(find_source("one/other-mert", "--backbone"), "m-a-p/MERT-v1-330M", "CC-BY-NC-4.0", "").licence
        'unknown: check https://huggingface.co/one/other-mert'
    """
    if source.name == origin:
        return replace(source, licence=licence, credit=credit)
    place = f"https://huggingface.co/{source.name}" if source.path is None else source.path.name
    if stated := _stated(source):
        return replace(source, licence=stated, credit=place)
    if source.path is None:
        return replace(source, licence=f"unknown: check {place}", credit=place)
    return replace(source, licence=licence, credit=credit, assumed=True)


def _stated(source: Source) -> str | None:
    """Return the licence that the model card of a folder or repository names, or the first line of its licence."""
    if source.path is not None and not source.path.is_dir():
        return None
    try:
        if card := source.file([_CARD]):
            front = _beginning(card).partition("\n---")[0]
            if front.startswith("---") and (found := _LICENCE.search(front)):
                named = _NAME.search(front)
                return _value(named[1] if named and _value(found[1]) == "other" else found[1])
        if file := source.file(_FILES):
            title = next((line.strip() for line in _beginning(file).splitlines() if line.strip()), None)
            return None if title is None else one_line(f"{title[:_LONGEST]} ({file.name})")
    except UnreachableError:  # the weights may be in the cache all the same
        return None
    return None


def _beginning(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as text:
        return text.read(_READ)


def _value(text: str) -> str:
    """Return the value of a line of YAML, without quotes, brackets and a comment."""
    return one_line(text.partition(" #")[0].strip(" \t\r\"'[]")[:_LONGEST])
