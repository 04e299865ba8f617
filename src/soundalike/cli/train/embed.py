"""`soundalike train embed`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.cli.arguments import GIVEN_PATH, jobs_option, json_option, option, ray_option
from soundalike.cli.commands import command
from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.output import Progress, print_interrupted, print_json
from soundalike.cli.train.progress import report_failed
from soundalike.core.errors import one_line
from soundalike.core.options import TextType

__all__ = ["embed"]


@dataclass(frozen=True, slots=True)
class EmbedRecord:
    """What a run added to a cache, and how many clips the cache holds."""

    cache: str
    new: int
    held: int
    failed: Sequence[FailureRecord]


def _read_shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"expected I/N with I from 1 to N, such as 2/4; found {text!r}")
    return int(found[1]), int(found[2])


@command("embed")
@option("--triplets", type=GIVEN_PATH, required=True, metavar="DIR", help="Triplet folders.")
@option("--cache", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to cache the features.")
@option("--backbone", metavar="NAME", help="Backbone that extracts the features (default: that of the default model).")
@option("--shard", type=TextType("I/N", _read_shard), metavar="I/N", help="Only this part of the clips, such as 2/4.")
@jobs_option()
@ray_option()
@json_option()
def embed(
    triplets: Path, cache: Path, backbone: str | None, shard: tuple[int, int] | None, jobs: int | None, as_json: bool
) -> int:
    """Compute the features of triplet folders into a cache, for `soundalike train heads --cache`.

    Several machines can share the work: each takes a shard of the clips, chosen by their content, and `soundalike train
    merge` merges the caches.

    \b
      soundalike train embed --triplets triplets --cache first --shard 1/2
      soundalike train embed --triplets triplets --cache second --shard 2/2
      soundalike train merge first second -o cache
    """
    from soundalike.models import load_named_backbone
    from soundalike.train.data import EmbeddingCache, read_folders
    from soundalike.train.data import embed as fill_cache
    from soundalike.train.jobs import default_backbone

    clips = {
        clip
        for parts in read_folders(triplets, 0).values()
        for folders in parts.values()
        for folder in folders
        for clip in folder.clips
    }
    with (
        EmbeddingCache.open(cache, load_named_backbone(backbone or default_backbone())) as opened,
        Progress("clip", enabled=not as_json) as progress,
    ):
        done = fill_cache(opened, sorted(clips), jobs=jobs, shard=shard, progress=progress)
        held = len(opened)
    report_failed(done.failed)
    if as_json:
        print_json(EmbedRecord(str(cache), done.done, held, failure_records(done.failed)))
    else:
        print(f"{done.done:,} clips embedded, {done.cached:,} already there; {one_line(cache)} holds {held:,}")
    if done.interrupted:
        print_interrupted()
        return INTERRUPTED
    return 1 if done.failed else 0
