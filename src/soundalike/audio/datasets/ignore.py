"""Files that a scan leaves out: patterns of the caller and of `.soundalikeignore` files, in the syntax of gitignore."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from soundalike.core.arguments import shown
from soundalike.core.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["IGNORE_FILE", "IgnoreRules", "check_patterns"]

IGNORE_FILE = ".soundalikeignore"
"""Name of the files with patterns for the folder that holds them and all folders below it."""


class IgnoreRules:
    """Patterns for the files below a folder.

    The last pattern that fits a path decides, as in gitignore: patterns of the caller come after those of ignore files,
    and a file in a folder comes after those in the folders above.
    """

    def __init__(self, root: Path, patterns: Sequence[str] = ()) -> None:
        """`patterns` are relative to `root`; a path below `root` may also be written in full."""
        above = f"{root.as_posix().rstrip('/')}/"
        relative = [pattern.replace(above, "/", 1) if pattern.startswith(above) else pattern for pattern in patterns]
        self._given = (os.fspath(root), _compile(relative)) if relative else None
        self._files: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    def with_file(self, path: Path) -> Self:
        """Return these rules and those of an ignore file.

        Raises:
            OSError: The file cannot be read.
            ValueError: A line is no pattern.
        """
        rules = object.__new__(type(self))
        lines = os.fsdecode(path.read_bytes().removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")).split("\n")
        rules._given, rules._files = self._given, (*self._files, (os.fspath(path.parent), _compile(lines)))
        return rules

    def exclude(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether a file or folder is to be left out.

        Example:
            >>> IgnoreRules(Path("/music"), ["*.wav", "!keep.wav"]).exclude("/music/new/a.wav")
            True
        """
        for base, spec in ((self._given,) if self._given else ()) + self._files[::-1]:
            relative = os.path.relpath(path, base).replace(os.sep, "/")
            found = spec.check_file(f"{relative}/" if is_folder else relative).include
            if found is not None:
                return bool(found)
        return False


def check_patterns(patterns: object) -> tuple[str, ...]:
    """Return patterns of files to leave out. Raises UsageError.

    Example:
        >>> check_patterns(["*.wav", "/demos/"])
        ('*.wav', '/demos/')
    """
    given = (patterns,) if isinstance(patterns, str) else patterns
    if not isinstance(given, Sequence) or not all(isinstance(one, str) and one.strip() for one in given):
        raise UsageError(f"exclude is {shown(patterns)}; expected patterns in the syntax of gitignore, such as '*.wav'")
    for pattern in given:
        try:
            _compile([pattern])
        except ValueError:
            raise UsageError(f"exclude: {shown(pattern)} is no pattern in the syntax of gitignore") from None
    return tuple(given)


def _compile(lines: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # here, because most scans need no patterns

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Python warns of expressions made for patterns such as [[]
        return GitIgnoreSpec.from_lines(lines)
