"""`soundalike separators remove`."""

from __future__ import annotations

from dataclasses import dataclass

from soundalike.cli.arguments import argument, json_option
from soundalike.cli.commands import command
from soundalike.cli.output import print_json
from soundalike.core.errors import one_line

__all__ = ["remove"]


@dataclass(frozen=True, slots=True)
class SeparatorRemovedRecord:
    """A separator whose weights were removed, and the folder where they were."""

    separator: str
    folder: str


@command("remove")
@argument("name", metavar="NAME", help="The separator.")
@json_option()
def remove(name: str, as_json: bool) -> int:
    """Remove the installed weights of a separator. Stems in the cache stay until others need the space.

    \b
      soundalike separators remove spleeter
    """
    from soundalike.train import published

    folder = published.remove_separator(name)
    if as_json:
        print_json(SeparatorRemovedRecord(name, str(folder)))
    else:
        print(f"{name} removed from {one_line(folder)}")
    return 0
