"""Licences of what others publish, and whether the user accepts them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from soundalike.core.errors import UsageError, one_line

__all__ = ["confirm_licence", "quiet_hub"]


def confirm_licence(lines: Sequence[str], licence: str, yes: bool) -> None:
    """Show what is to be installed on standard error, and ask whether the user accepts its licence.

    Args:
        lines: What it is, and the licence.
        licence: Its name.
        yes: Whether the user has accepted it already.

    Raises:
        UsageError: The user does not, or cannot be asked.
    """
    for line in lines:
        print(one_line(line), file=sys.stderr)
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"nobody can be asked to accept the licence ({licence}); give --yes to accept it")
    try:
        accepted = click.confirm("Install it under this licence?", err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
    if not accepted:
        raise UsageError("the licence was not accepted; nothing was installed")


def quiet_hub(as_json: bool) -> None:
    """Let the client of the hub show its progress on a terminal only. It reads this when it is imported."""
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    if as_json or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
