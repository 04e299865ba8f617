"""`soundalike train merge`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import GIVEN_PATH, argument, json_option, option
from soundalike.cli.commands import command
from soundalike.cli.output import print_json
from soundalike.core.errors import one_line

__all__ = ["merge"]


@dataclass(frozen=True, slots=True)
class MergeRecord:
    """A merged cache, and how many clips it holds."""

    cache: str
    held: int


@command("merge")
@argument(
    "caches", nargs=-1, required=True, type=GIVEN_PATH, metavar="CACHE...", help="Caches of `soundalike train embed`."
)
@option("-o", "--output", type=GIVEN_PATH, required=True, metavar="DIR", help="The cache to merge them into.")
@json_option()
def merge(caches: Sequence[Path], output: Path, as_json: bool) -> int:
    """Merge the features that several machines computed into one cache.

    \b
      soundalike train merge first second -o cache
    """
    from soundalike.train.data import merge as merge_caches

    held = merge_caches(list(caches), output)
    if as_json:
        print_json(MergeRecord(str(output), held))
    else:
        print(f"{one_line(output)} holds {held:,} clips")
    return 0
