"""The forms in which a command prints a list: a table, JSON, lines for other programs, a playlist."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from soundalike.cli.arguments import GIVEN_PATH, PLAYLIST_FILE, Decorator, json_option, option
from soundalike.cli.cells import check_columns
from soundalike.cli.output import print_json, print_message
from soundalike.cli.playlist_output import playlist_content, print_playlist_paths, write_playlists
from soundalike.cli.suggest import suggest_columns
from soundalike.core.errors import UsageError, one_line

if TYPE_CHECKING:
    from soundalike.search import PlaylistEntry

__all__ = ["FORMATS", "Answer", "Output", "output_options"]

_OF_ANYTHING = ("table", "json", "jsonl", "tsv", "csv")
_PLAYLISTS = ("m3u", "mpd", "rekordbox", "traktor")
FORMATS = (*_OF_ANYTHING, "paths", *_PLAYLISTS)
"""The values of `--format`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found.

    Attributes:
        record: All of it, for `json`.
        rows: One record per line, for `jsonl`, `tsv` and `csv`.
        entries: One entry per file, for `paths` and playlists; None if the list is not one of files.
    """

    record: Any
    rows: Sequence[Any]
    entries: Sequence[PlaylistEntry] | None


@dataclass(frozen=True, slots=True)
class Output:
    """How a command prints what it found.

    Attributes:
        format: One of `FORMATS`.
        null: Whether paths end in a null byte instead of a line break.
        relative: Whether paths are relative to the current folder, or to that of a playlist.
        wide: Whether a table shows all numbers, whatever the width of the terminal.
        columns: The columns of a table, or the keys of `jsonl`, `tsv` and `csv`; None for all.
        files: Playlists to write.
        music_dir: The music directory of MPD.
    """

    format: str = "table"
    null: bool = False
    relative: bool = False
    wide: bool = False
    columns: tuple[str, ...] | None = None
    files: tuple[Path, ...] = ()
    music_dir: Path | None = None

    @property
    def is_table(self) -> bool:
        """Whether a person reads it."""
        return self.format == "table"

    def print(self, answer: Callable[[], Answer], table: Callable[[], None]) -> None:
        """Write what was found to playlists, and print it: `table` for a person, `answer` returns it for programs.

        Raises:
            UsageError: `--columns` names a key that no row has, the format is for lists of files, or a playlist cannot
                be written.
        """
        found = answer() if self.files or not self.is_table else None
        if found is not None and self.files:
            self._write(found)
        if found is None or self.is_table:
            table()
            print_playlist_paths(self.files)
        elif self.format == "json":
            print_json(found.record)
        elif self.format not in _OF_ANYTHING:
            if found.entries is None:
                raise UsageError(f"--format {self.format} is for lists of files; expected {', '.join(_OF_ANYTHING)}")
            self._print_entries(found.entries)
        else:
            self._print_rows(found.rows)

    def _write(self, found: Answer) -> None:
        if found.entries is None:
            raise UsageError("--export is for lists of files")
        write_playlists(found.entries, self.files, relative=self.relative, music_dir=self.music_dir)

    def _print_entries(self, entries: Sequence[PlaylistEntry]) -> None:
        if self.format in _PLAYLISTS:
            folder = Path() if self.relative else self.music_dir
            _write_bytes(playlist_content(entries, self.format, folder))
            return
        end = b"\0" if self.null else b"\n"
        for entry in entries:
            path = os.path.relpath(entry.path) if self.relative else entry.path
            if not self.null and {"\n", "\r"} & set(path):
                print_message(f"left out: {one_line(path)}: its name contains a line break")
            else:
                _write_bytes(os.fsencode(path) + end)

    def _print_rows(self, rows: Sequence[Any]) -> None:
        from soundalike.core.serialise import to_plain

        plain = [cast("dict[str, Any]", to_plain(row)) for row in rows]
        if self.format == "jsonl":
            for row in plain:
                print(json.dumps(_chosen(row, self.columns, list(row)), ensure_ascii=True, allow_nan=False))
            return
        flat = [dict(_flatten(row)) for row in plain]
        keys = list(dict.fromkeys(key for row in flat for key in row))
        chosen = _known_columns(self.columns, keys) if flat else list(self.columns or ())
        text = io.StringIO()
        if self.format == "csv":
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(chosen)
            writer.writerows([[_cell(row.get(key)) for key in chosen] for row in flat])
        else:
            for line in [chosen, *([one_line(_cell(row.get(key))) for key in chosen] for row in flat)]:
                text.write("\t".join(line) + "\n")
        sys.stdout.write(text.getvalue())


def _known_columns(columns: Sequence[str] | None, keys: Sequence[str]) -> list[str]:
    check_columns(columns, keys)
    return list(columns or keys)


def _chosen(row: Mapping[str, Any], columns: Sequence[str] | None, keys: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in _known_columns(columns, keys)}


def _flatten(row: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    """The values of nested mappings, under keys joined by points; the spaces of a match come without `spaces.`."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, before if key == "spaces" else f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "; ".join(_cell(one) if not isinstance(one, Mapping) else json.dumps(one) for one in value)
    return str(value)


def _write_bytes(content: bytes) -> None:
    """Write bytes to standard output: paths need not be text."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(content.decode("utf-8", "surrogateescape"))
        return
    buffer.write(content)
    buffer.flush()


# Options --------------------------------------------------------------------------------------------------------------


def _read_columns(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise click.BadParameter(f"expected names joined by commas, found {text!r}")
    return names


def _check_folders(form: str, files: Sequence[Path], *, relative: bool, music_dir: Path | None) -> None:
    """Raise UsageError if paths cannot be written as asked for."""
    m3u = form in ("m3u", "mpd") or any(path.suffix.lower() in (".m3u", ".m3u8") for path in files)
    others = [f"--format {form}"] if form in ("rekordbox", "traktor") else []
    others += [str(path) for path in files if path.suffix.lower() not in (".m3u", ".m3u8")]
    if form == "mpd" and music_dir is None:
        raise UsageError("--format mpd needs the music directory of MPD, such as --music-dir ~/Music")
    if relative and music_dir is not None:
        raise UsageError("--relative and --music-dir exclude each other")
    if relative and (others or not (m3u or form == "paths")):
        found = f"; {others[0]} has absolute paths" if others else ""
        raise UsageError(f"--relative is for --format paths and for M3U playlists{found}")
    if music_dir is not None and not m3u:
        raise UsageError("--music-dir is for M3U playlists; give --format mpd, or a file that ends in .m3u")


def output_options(*, columns: bool = True) -> Decorator[Any]:
    """Declare `--format`, `--json` and their kind; the function gets them as `output`, an `Output`.

    Args:
        columns: Whether the table of the command can be chosen with `--columns` and `--wide`.
    """

    def declare(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def call(
            form: str | None, as_json: bool, null: bool, relative: bool, export: Path | None, music_dir: Path | None,
            wide: bool = False, columns: tuple[str, ...] | None = None, m3u: Path | None = None, **given: Any,
        ) -> int:  # fmt: skip
            if as_json and form not in (None, "json"):
                raise UsageError(f"--json and --format {form} exclude each other")
            if null and (as_json or form not in (None, "paths")):
                raise UsageError("-0 is for --format paths")
            chosen = "json" if as_json else form or ("paths" if null else "table")
            if m3u is not None and str(m3u) == "-":
                if chosen != "table":
                    raise UsageError(f"--m3u - and --format {chosen} both write to standard output; give one")
                m3u, chosen = None, "m3u"
            if chosen == "m3u" and music_dir is not None:
                chosen = "mpd"
            files = tuple(one for one in (m3u, export) if one is not None)
            _check_folders(chosen, files, relative=relative, music_dir=music_dir)
            return function(output=Output(chosen, null, relative, wide, columns, files, music_dir), **given)

        shown: list[Decorator[Any]] = [
            option(
                "--format", "form", type=click.Choice(FORMATS), metavar="FORMAT",
                help=f"What to print: {', '.join(FORMATS[:-1])} or {FORMATS[-1]} (default: table).",
            ),
            json_option(help="Short for --format json: stable keys on standard output."),
            option("-0", "null", is_flag=True, help="Print paths that end in a null byte, for xargs -0."),
            option("--relative", is_flag=True, help="Print paths relative to the current folder."),
            option(
                "--export", type=PLAYLIST_FILE, metavar="FILE",
                help="Also write a playlist for Rekordbox (.xml), Traktor (.nml) or other players (.m3u8).",
            ),
            option(
                "--music-dir", type=GIVEN_PATH, metavar="DIR",
                help="The music directory of MPD; M3U playlists then have the paths that MPD expects.",
            ),
        ]  # fmt: skip
        if columns:
            shown += [
                option("--wide", is_flag=True, help="Show all numbers, even if lines are longer than the terminal."),
                option(
                    "--columns",
                    metavar="A,B,...",
                    callback=_read_columns,
                    shell_complete=suggest_columns,
                    help="The columns to show, such as track,score,bpm.",
                ),
            ]
        for one in reversed(shown):
            call = one(call)
        return call

    return declare
