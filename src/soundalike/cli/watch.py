"""Run a job again whenever files have changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from soundalike.cli.exit_codes import DONE, INTERRUPTED
from soundalike.cli.output import print_message
from soundalike.core.errors import SoundalikeError

__all__ = ["watch"]

State = TypeVar("State")


def watch(scan: Callable[[], State], run: Callable[[], int], seconds: float) -> int:
    """Run a job, and again after every change, until Ctrl-C.

    Folders are scanned, because network drives do not tell of changes. A change counts once two scans agree, so that
    files that are still being written wait.

    Args:
        scan: Returns what to compare, such as the sizes and times of all files.
        run: The job; returns an exit code. An error in the first run ends it all; after later ones the job is tried
            again at the next scan.
        seconds: The time between scans.

    Returns:
        The exit code: 0 after Ctrl-C between runs, 130 during one.
    """
    done = scan()  # before the job, so that the next scan finds what changes meanwhile
    if run() == INTERRUPTED:
        return INTERRUPTED
    before = done
    while True:
        try:
            time.sleep(seconds)
            now = scan()
        except KeyboardInterrupt:
            return DONE
        if now != done and now == before:
            try:
                if run() == INTERRUPTED:
                    return INTERRUPTED
                done = now
            except SoundalikeError as error:
                print_message(str(error), "not indexed")
        before = now
