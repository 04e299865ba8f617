"""Every help page fits a terminal of 80 columns, examples included."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from soundalike.cli.main import ROOT
from soundalike.cli.table import cell_width


def _pages(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _pages(found, (*path, name))


@pytest.mark.parametrize("path", list(_pages(ROOT)), ids=lambda path: " ".join(path) or "soundalike")
def test_a_help_page_fits_80_columns(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(ROOT, [*path, "--help"], prog_name="soundalike", terminal_width=80)
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith(f"Usage: {' '.join(('soundalike', *path))} ")
    assert [line for line in shown.output.splitlines() if cell_width(line) > 80] == []
