"""Stem models for commands with `--stems`: install them, or bring them up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundalike.cli.models.clips import calibration_clips
from soundalike.cli.output import Progress, print_message

if TYPE_CHECKING:
    from soundalike.train.published import StemJob

__all__ = ["install_stem_model", "ready_stem_model"]


def ready_stem_model(base: str, separator: str, *, quiet: bool = False) -> str:
    """Return the name of the stem model of a base model, which is installed first if need be.

    Raises:
        UsageError: There is no such separator, or the base is a stem model itself.
        ModelError: There is no such base model, or the separator lacks its extra or weights.
    """
    from soundalike.train import published

    job = published.plan_stems(base, separator)
    if not published.is_current(job):
        print_message(
            f"installing {job.name}: {job.base.name} on the stems of {job.separator.name} "
            f"({', '.join(job.separator.stems)}), licence {job.separator.licence}; this is done once"
        )
        install_stem_model(job, quiet=quiet)
    return job.name


def install_stem_model(job: StemJob, *, quiet: bool = False) -> None:
    """Install a stem model, with progress unless `quiet`, and say which spaces could not be calibrated."""
    from soundalike.train import published

    with Progress("clip", enabled=not quiet) as progress:
        kept = published.install_stems(job, calibration_clips(), progress=progress)
    if kept:
        spaces = len(job.base.spaces) * len(job.separator.stems)
        named = "any space" if len(kept) == spaces else ", ".join(kept)
        print_message(
            f"too few of the demo clips have sound in {named}: below 200 recordings, percentiles there are "
            f"those of {job.base.name} on mixes"
        )
