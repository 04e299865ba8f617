"""`soundalike render`."""

from __future__ import annotations

import argparse
from pathlib import Path

from soundalike.cli import show
from soundalike.cli.main import INTERRUPTED
from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import absolute
from soundalike.render.folders import RenderReport, Settings, render
from soundalike.render.score import FACTORS

__all__ = ["run_render"]

_NAMED = 3


def run_render(args: argparse.Namespace) -> int:
    """Render folders of triplets; 1 if some could not be made."""
    settings = Settings(
        seed=args.seed,
        part=args.part,
        seconds=args.seconds,
        rate=args.rate,
        suffix=args.format,
        stems=args.stems,
        tunes=str(absolute(args.tunes)) if args.tunes else None,
        grooves=str(absolute(args.grooves)) if args.grooves else None,
        soundfonts=tuple(str(absolute(Path(value))) for value in args.soundfont),
    )
    progress = show.Progress("folder", enabled=not args.json)
    report = render(
        args.output, args.folders, settings, factors=_factors(args.factors), jobs=args.jobs, progress=progress
    )
    progress.end()
    for name, why in report.failed:
        show.message(f"{name}: {why}", "failed")
    if args.json:
        show.print_json(_report_json(args, report))
    else:
        _print_report(args, report)
    if report.interrupted:
        return INTERRUPTED
    return 1 if report.failed else 0


def _factors(text: str | None) -> tuple[str, ...]:
    names = text.split(",") if text is not None else FACTORS
    if unknown := [name for name in names if name not in FACTORS]:
        raise UsageError(f"unknown factor {unknown[0]!r}; there are {', '.join(FACTORS)}")
    return tuple(factor for factor in FACTORS if factor in names)


def _print_report(args: argparse.Namespace, report: RenderReport) -> None:
    for problem in report.problems:
        show.message(problem, "note", "yellow")
    for name, why in report.skipped[:_NAMED]:
        show.message(f"{name}: {why}", "skipped", "yellow")
    if len(report.skipped) > _NAMED:
        show.message(f"{len(report.skipped) - _NAMED:,} more sources (--json lists them)", "skipped", "yellow")
    heard, took = show.clock(report.audio_seconds), show.clock(report.seconds)
    line = (
        f"{show.count(report.made, 'folder')} rendered ({show.count(report.clips, 'clip')}, {heard} of sound) in {took}"
    )
    if report.core_seconds:
        synthesis = report.audio_seconds / max(report.synthesis_seconds, 1e-9)
        whole = report.audio_seconds / report.core_seconds
        line += f"; × real time a core: synthesis {synthesis:.0f}, all of it {whole:.0f}"
    print(line)
    notes = [(report.kept, "there already"), (report.repaired, "made again, being half there")]
    if told := ", ".join(f"{number:,} {what}" for number, what in notes if number):
        print(told)
    if report.redrawn:
        commonest = max(report.redrawn, key=lambda why: report.redrawn[why])
        print(f"{show.count(sum(report.redrawn.values()), 'draft')} drawn again, most often because {commonest}")
    print(f"written to {one_line(args.output)}; hear how well it came out: soundalike evaluate render DIR")
    if report.interrupted:
        show.message("interrupted: what is done is kept; run it again to go on")


def _report_json(args: argparse.Namespace, report: RenderReport) -> dict[str, object]:
    return {
        "output": str(args.output),
        "made": report.made,
        "kept": report.kept,
        "repaired": report.repaired,
        "clips": report.clips,
        "audio_seconds": report.audio_seconds,
        "seconds": report.seconds,
        "synthesis_core_seconds": report.synthesis_seconds,
        "core_seconds": report.core_seconds,
        "failed": [{"folder": name, "error": why} for name, why in report.failed],
        "skipped": [{"source": name, "reason": why} for name, why in report.skipped],
        "problems": report.problems,
        "redrawn": report.redrawn,
        "interrupted": report.interrupted,
    }
