"""A page to inspect rendered folders: every clip with an audio player, its notes, its spectrogram and its facts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from soundalike.core.files import write_atomic
from soundalike.evaluate.audit.pictures import piano_roll, spectrogram_png
from soundalike.render.folders import Folder
from soundalike.render.score import FACTORS, ROLES, ROOTS, Clip, Role, Scene

__all__ = ["ClipFigure", "draw_clip", "write_page"]

_WIDTH, _ROLL, _SPECTRUM = 480, 150, 110  # pixels


@dataclass(frozen=True, slots=True)
class ClipFigure:
    """A clip on the page.

    Attributes:
        name: The name of the clip.
        audio: Its audio file.
        picture: The stem of the names of its two pictures.
        facts: Lines of text below the player.
        warnings: Lines that point out errors of the render.
    """

    name: str
    audio: Path
    picture: str
    facts: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def draw_clip(
    folder: Folder, name: str, clip: Clip, audio: Path, target: Path, instruments: Mapping[Role, str]
) -> ClipFigure:
    """Draw the pictures of a clip and collect its facts.

    Args:
        folder: The rendered folder that the clip belongs to.
        name: The name of the clip in the folder, such as "anchor".
        clip: The rendered clip.
        audio: The audio file of the clip, for the player.
        target: The folder of the page, to which the pictures are written.
        instruments: The instrument of every part.

    Returns:
        The figure, for `write_page`.

    Raises:
        UsageError: A picture cannot be written.

    Example:
        >>> figures = [draw_clip(folder, name, clips[name], files[name], page, instruments) for name in clips]
        >>> index = write_page(page, [(folder, figures)])
    """
    scene, anchor = folder.scenes[name], folder.scenes["anchor"]
    picture = f"{folder.factor}-{folder.number}-{name}"
    roll = piano_roll(clip.performance, _WIDTH, _ROLL)
    spectrum = spectrogram_png(clip.samples, clip.rate, _WIDTH, _SPECTRUM)
    write_atomic(target / f"{picture}.svg", lambda file: file.write(roll.encode()))
    write_atomic(target / f"{picture}.png", lambda file: file.write(spectrum))
    return ClipFigure(name, audio, picture, _facts(scene, anchor, clip, instruments), _warnings(clip))


def _facts(scene: Scene, anchor: Scene, clip: Clip, instruments: Mapping[Role, str]) -> tuple[str, ...]:
    tempo = f"{scene.tempo:.0f} bpm"
    if scene is not anchor:
        tempo += f" (× {scene.tempo / anchor.tempo:.3f})"
    parts = [
        f"{role}: {instruments[role]}" + (f" {clip.levels[role]:+.1f} dB" if len(clip.levels) > 1 else "")
        for role in ROLES
        if role in instruments
    ]
    effects = scene.effects
    effect_names = [effects.codec or "", f"low-pass {effects.lowpass:.0f} Hz" if effects.lowpass else ""]
    return (
        f"{scene.melody.setting}, {ROOTS[scene.key]} {scene.melody.mode}, {scene.melody.meter}, {tempo}",
        f"{scene.rhythm.groove.name}; comp {scene.rhythm.comp}, bass {scene.rhythm.bass}",
        *parts,
        ", ".join(text for text in effect_names if text),
    )


def _warnings(clip: Clip) -> tuple[str, ...]:
    """Silent parts. The renderer draws such folders again, so there should be none."""
    return tuple(f"silent: {role}" for role, level in clip.levels.items() if level < -40)


def write_page(target: Path, folders: Sequence[tuple[Folder, Sequence[ClipFigure]]]) -> Path:
    """Write `target`/index.html.

    Args:
        target: An existing folder, which holds the pictures of `draw_clip`.
        folders: Rendered folders with the figures of their clips. The page groups them by factor.

    Returns:
        The path of the page.

    Raises:
        UsageError: The page cannot be written.
    """
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    factors = [factor for factor in FACTORS if any(folder.factor == factor for folder, _ in folders)]
    sections = []
    for factor in factors:
        sections.append(f'<h2 id="{factor}">{factor}</h2>')
        sections += [_section(folder, figures, target) for folder, figures in folders if folder.factor == factor]
    page = template.substitute(
        title="Rendered triplets",
        introduction=(
            "Positives share only the factor with the anchor. The negative shares nothing with it. The adversarial "
            "negative shares everything except the factor. The pictures show the notes of the score and the "
            "spectrogram of the audio."
        ),
        links="".join(f'<a href="#{factor}">{factor}</a>' for factor in factors),
        sections="\n".join(sections),
    )
    path = target / "index.html"
    write_atomic(path, lambda file: file.write(page.encode()))
    return path


def _section(folder: Folder, figures: Sequence[ClipFigure], target: Path) -> str:
    anchor = folder.scenes["anchor"]
    head = f"{folder.name} · {anchor.melody.meter} · {anchor.melody.mode} · {folder.part}"
    body = "\n".join(_figure(figure, target) for figure in figures)
    return f'<section><h3>{escape(head)}</h3><div class="clips">\n{body}\n</div></section>'


def _figure(clip: ClipFigure, target: Path) -> str:
    kind = {"positive": "positive", "negative": "negative"}.get(clip.name.partition("_")[0], "")
    kind = "adversarial" if clip.name.endswith("adversarial") else kind
    lines = [*map(escape, (fact for fact in clip.facts if fact))]
    lines += [f'<span class="warning">{escape(text)}</span>' for text in clip.warnings]
    title = clip.name.replace("_", " ")
    try:
        source = quote(os.path.relpath(clip.audio, target).replace(os.sep, "/"))
    except ValueError:  # on another drive of Windows
        source = clip.audio.absolute().as_uri()
    return (
        f'<figure class="{kind}"><figcaption><b>{escape(title)}</b></figcaption>'
        f'<img loading="lazy" width="{_WIDTH}" height="{_ROLL}" src="{clip.picture}.svg"'
        f' alt="notes of {escape(title)}">'
        f'<img loading="lazy" width="{_WIDTH}" height="{_SPECTRUM}" src="{clip.picture}.png"'
        f' alt="spectrogram of {escape(title)}">'
        f'<audio controls preload="none" src="{escape(source)}"></audio>'
        f"<figcaption>{'<br>'.join(lines)}</figcaption></figure>"
    )
