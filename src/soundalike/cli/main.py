"""The command line. Exit codes: 0 done, 1 done but some inputs failed, 2 nothing could be done, 130 interrupted."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from soundalike.core.errors import SoundalikeError, one_line

__all__ = ["main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        _prepare()
        from soundalike.cli.parser import build_parser

        args = build_parser().parse_args(arguments)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except SoundalikeError as error:
        return _fail(str(error), as_json)
    except KeyboardInterrupt:
        print("soundalike: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has read enough, as `head` does: say no more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)
    except OSError as error:
        # What no border foresaw: a full disk behind standard output, a working directory that is gone.
        about = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        code = _fail(f"{about}{error.strerror or error}", as_json=False)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return code


def _fail(message: str, as_json: bool) -> int:
    """One line on standard error whatever a path in it holds; with --json also for the program that asked."""
    line = one_line(message)
    if as_json:
        print(json.dumps({"error": line}))
    print(f"soundalike: {line}", file=sys.stderr)
    return 2


def _prepare() -> None:
    """Streams that are closed swallow what they are given; those with a narrow encoding get escapes, not exceptions.

    Numeric libraries get one thread: the matrices are small, waking threads costs more than it saves, and sums come
    out the same in every process.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:
            setattr(sys, stream, Path(os.devnull).open("w"))  # noqa: SIM115 - for the life of the process
        reconfigure = getattr(getattr(sys, stream), "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
