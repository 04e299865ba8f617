"""The command line. Exit codes: 0 done, 1 done but some inputs failed, 2 nothing could be done, 130 interrupted."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence

from soundalike.errors import SoundalikeError, one_line

__all__ = ["main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    as_json = False
    try:
        from soundalike.cli.parser import build_parser

        _speak_utf8()
        args = build_parser().parse_args(arguments)
        as_json = args.json
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except SoundalikeError as error:
        # One line whatever a path in it holds; with --json the same on standard output, for the program that asked.
        message = one_line(str(error))
        if as_json:
            print(json.dumps({"error": message}))
        print(f"soundalike: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("soundalike: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has read enough, as `head` does: say no more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)


def _speak_utf8() -> None:
    """A terminal or pipe with a narrower encoding gets escapes, never an exception."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
