"""The command line: all commands by name, and what becomes of errors."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from soundalike import __version__
from soundalike.cli.arguments import shared_parameters
from soundalike.cli.commands import Entry, Group, describe_error
from soundalike.cli.exit_codes import FAILED, INTERRUPTED
from soundalike.core.errors import SoundalikeError, SoundalikeWarning, one_line

__all__ = ["ROOT", "main"]

_HELP = """\
Find music that sounds alike, and see why.

Two recordings are scored separately by melody, rhythm, timbre and harmony. You choose the weights, and every
result shows what each of them contributed.

\b
  soundalike demo                   try it on 36 bundled clips
  soundalike index ~/Music          encode a folder, then only what is new
  soundalike search song.mp3        find what sounds like a song
  soundalike search song.mp3 -w rhythm=1,timbre=-1
                                    the same groove with a different sound
  soundalike compare a.wav b.wav    show why two recordings sound alike

Every command has its own page: soundalike COMMAND --help. With --json, a command prints JSON with stable keys on
standard output; messages and progress go to standard error. Exit codes: 0 done, 1 done but some inputs failed, 2
wrong usage or nothing could be done, 130 interrupted.
"""

_ENTRIES = {
    "index": Entry("index:index", "encode folders of music into the library"),
    "search": Entry("search:search", "find what sounds like a recording"),
    "compare": Entry("compare:compare", "score how alike two recordings are, and where"),
    "path": Entry("path:path", "find a path of small steps from one track to another"),
    "playlist": Entry("playlist:playlist", "choose varied tracks that are like a recording"),
    "duplicates": Entry("duplicates:duplicates", "list tracks that are the same recording"),
    "versions": Entry("versions:versions", "list covers, live takes and remasters"),
    "serve": Entry("serve:serve", "serve a page and an HTTP interface"),
    "embed": Entry("embed:embed", "write the vectors of recordings to a file"),
    "separate": Entry("separate:separate", "divide recordings into stems"),
    "library": Entry("library.group:library", "inspect, maintain, export and import a library"),
    "presets": Entry("presets:presets", "list the names that stand for weights"),
    "models": Entry("models.group:models", "install and remove models whose weights others publish"),
    "separators": Entry("separators.group:separators", "install and remove the weights of separators"),
    "list": Entry("list:list_members", "list models, spaces and plug-ins with their licences"),
    "demo": Entry("demo:demo", "try it on 36 bundled clips"),
    "render": Entry("render:render", "make triplets of music in which one factor is controlled"),
    "evaluate": Entry("evaluate:evaluate", "measure how good a model is, and write reports"),
    "reproduce": Entry("reproduce:reproduce", "measure all numbers of a paper again"),
    "train": Entry("train.group:train", "fit a model from audio"),
    "completion": Entry("completion:completion", "print the script that completes commands in a shell"),
    "help": Entry("help:help_page", "show the help page of a command"),
}


ROOT = Group(
    "soundalike",
    _ENTRIES,
    help=_HELP,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=lambda ctx, _, given: _print_version(ctx) if given and not ctx.resilient_parsing else None,
            help="Show the version and exit.",
        ),
        *shared_parameters("library", "model", "json"),
    ],
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The arguments after the name of the program; None takes those of the process.

    Returns:
        The exit code: 0 done, 1 done but some inputs failed, 2 wrong usage or nothing could be done, 130 interrupted.

    Example:
        >>> main(["search", "song.mp3", "-k", "3"])
        0
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    try:
        _prepare_streams()
        if asked := os.environ.get("_SOUNDALIKE_COMPLETE"):
            from soundalike.cli.completion import answer

            return answer(ROOT, asked)
        with _short_warnings():
            code = _run(given)
        sys.stdout.flush()
        return code
    except click.UsageError as error:
        return _fail(describe_error(error), as_json)
    except SoundalikeError as error:
        return _fail(str(error), as_json)
    except KeyboardInterrupt:
        print("soundalike: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has closed its end, as `head` does. Print nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)
    except OSError as error:
        if sys.platform == "win32" and error.errno == errno.EINVAL and error.filename is None:
            return 128 + 13  # Windows reports a reader that has closed its end like this
        # What no check foresaw: a full disk behind standard output, or a working directory that was removed.
        about = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        code = _fail(f"{about}{error.strerror or error}", as_json=False)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return code


def _run(arguments: list[str]) -> int:
    """Parse the arguments and call the command. Raises click.UsageError, SoundalikeError, OSError."""
    try:
        with ROOT.make_context("soundalike", arguments) as context:
            return int(ROOT.invoke(context) or 0)
    except click.exceptions.Exit as stop:  # --help and --version
        return stop.exit_code


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Print the warnings of this package as one line each, without the place in the code that gives them."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, SoundalikeWarning):
            print(f"soundalike: {one_line(str(message))}", file=sys.stderr)
        else:
            before(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _fail(message: str, as_json: bool) -> int:
    """Print an error as one line on standard error, with --json also on standard output."""
    line = one_line(message)
    if as_json:
        from soundalike.cli.output import print_json
        from soundalike.cli.records import ErrorRecord

        print_json(ErrorRecord(line), indent=None)
    print(f"soundalike: {line}", file=sys.stderr)
    return FAILED


def _prepare_streams() -> None:
    """Replace closed streams by the null device, and let narrow encodings escape characters instead of failing.

    Numeric libraries get one thread: the matrices are small, starting threads costs more than it saves, and sums are
    then rounded the same way in every process.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:
            setattr(sys, stream, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for the life of the process
        reconfigure = getattr(getattr(sys, stream), "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


def _print_version(ctx: click.Context) -> None:
    print(f"soundalike {__version__}")
    ctx.exit()
