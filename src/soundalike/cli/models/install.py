"""`soundalike models install`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundalike.cli.arguments import argument, json_option, option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.licence import confirm_licence, quiet_hub
from soundalike.cli.models.clips import calibration_clips
from soundalike.cli.models.stems import install_stem_model
from soundalike.cli.output import Progress, print_json, print_message
from soundalike.cli.suggest import suggest_files, suggest_published_models
from soundalike.core.errors import UsageError, one_line
from soundalike.train.published.catalogue import PUBLISHED

if TYPE_CHECKING:
    from soundalike.train.published import InstallJob, StemJob

__all__ = ["install"]


@dataclass(frozen=True, slots=True)
class InstallRecord:
    """An installed model: its folder, its size in bytes, and from where it comes."""

    model: str
    folder: str
    licence: str
    backbone: str | None
    heads: str | None
    spaces: Sequence[str]
    bytes: int


@command("install")
@argument(
    "name",
    metavar="NAME",
    shell_complete=suggest_published_models,
    help=f"The model: {', '.join(PUBLISHED)}; or MODEL-SEPARATOR, such as compact-spleeter: a model on the stems of a "
    "separator; or compact-stems: a model with its melody on the vocals.",
)
@option(
    "--backbone",
    metavar="PATH|ID",
    shell_complete=suggest_files,
    help="Weights of the backbone: a folder or file, or an id on the Hugging Face hub (default: where they are "
    "published).",
)
@option(
    "--heads",
    metavar="PATH|ID",
    shell_complete=suggest_files,
    help="Checkpoints of the heads of merit: a folder, or an id on the hub (default: where they are published).",
)
@option("--yes", is_flag=True, help="Accept the licence without being asked, for scripts.")
@option("--force", is_flag=True, help="Install the model again if it is installed.")
@json_option()
def install(name: str, backbone: str | None, heads: str | None, yes: bool, force: bool, as_json: bool) -> int:
    """Install a model whose weights others publish, or one that listens to the stems of recordings.

    The licence of the weights is shown first, and you confirm it before anything is downloaded or copied. The baseline
    mfcc has no weights, so nothing is asked. Then the bundled demo clips are encoded to measure how similar random
    recordings are. Local weights are linked, not copied, where the disk allows it. After an error, nothing is left.

    \b
      soundalike models install merit
      soundalike models install merit --backbone MERT-v1-330M --heads heads --yes
      soundalike index ~/Music --model merit

    MODEL-SEPARATOR is an installed model on the stems that a separator makes of recordings. Its spaces are called
    vocals.melody, or vocals if the model has only the space overall. The demo clips are separated too. compact-stems is
    compact with one more space: vocals.melody, on the vocals of spleeter.

    \b
      soundalike models install compact-spleeter
      soundalike index ~/Music --stems spleeter
      soundalike models install compact-stems
      soundalike index ~/Music --model compact-stems
    """
    from soundalike.core.files import size_of
    from soundalike.models import joined_base, split_stem_model
    from soundalike.train import published

    parts, joined = split_stem_model(name), joined_base(name)
    if name not in PUBLISHED and (base := parts[0] if parts else joined):
        if backbone or heads:
            raise UsageError(f"{name} has the weights of {base}; leave out --backbone and --heads")
        on_stems = published.plan_stems(*parts) if parts else published.plan_joined(base)
        how = f"--stems {parts[1]}" if parts else f"--model {name}"
        return _install_stems(on_stems, how, force=force, as_json=as_json)
    quiet_hub(as_json)
    job = published.plan(name, backbone=backbone, heads=heads, force=force)
    _confirm(job, yes)
    for source in reversed(job.sources):
        if source.path is None and not as_json:
            print_message(f"fetching {source.name} from the Hugging Face hub, if it is not in the cache")
    with Progress("clip", enabled=not as_json) as progress:
        folder = published.install(job, calibration_clips(), progress=progress)
    spaces = [space.name for space in job.model.spaces]
    size = size_of(folder)
    if as_json:
        weights, heads_from = (source.name if source else None for source in (job.backbone, job.heads))
        print_json(InstallRecord(name, str(folder), job.licence, weights, heads_from, spaces, size))
    else:
        print(f"{name} installed: {count(len(spaces), 'space')} ({', '.join(spaces)}), {size / 1e6:,.1f} MB")
        print(f"in {one_line(folder)}; use it with: soundalike index ~/Music --model {name}")
    return 0


def _install_stems(job: StemJob, how: str, *, force: bool, as_json: bool) -> int:
    """Install a model on stems. Its weights are those of the base, which are here, and nothing is downloaded."""
    from soundalike.core.files import size_of
    from soundalike.models import load_recipe
    from soundalike.train import published

    if published.is_current(job) and not force:
        raise UsageError(f"{job.name} is installed at {job.folder}; give --force to install it again")
    install_stem_model(job, quiet=as_json)
    recipe = load_recipe(job.name)
    spaces, size = [space.name for space in recipe.spaces], size_of(job.folder)
    if as_json:
        print_json(InstallRecord(job.name, str(job.folder), recipe.licence, job.base.name, None, spaces, size))
    else:
        print(f"{job.name} installed: {count(len(spaces), 'space')} ({', '.join(spaces)})")
        print(f"in {one_line(job.folder)}; use it with: soundalike index ~/Music {how}")
    return 0


def _confirm(job: InstallJob, yes: bool) -> None:
    """Show the licence, and ask whether the user accepts it. Nothing is asked for a model without weights.

    Raises:
        UsageError: The user does not, or cannot be asked.
    """
    model = job.model
    if job.backbone is None:
        print(one_line(model.summary), file=sys.stderr)
        return
    heads = f", heads: {job.heads.name}" if job.heads else ""
    lines = (model.summary, f"Weights: {job.backbone.name}{heads}", f"Licence: {job.licence}. {job.terms}")
    confirm_licence(lines, job.licence, yes)
