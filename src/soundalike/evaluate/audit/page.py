"""A page to listen to rendered folders with the eyes open: every clip with its notes, its spectrum and its facts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from soundalike.core.files import write_whole
from soundalike.evaluate.audit.pictures import piano_roll, spectrogram_png
from soundalike.render.folders import Folder
from soundalike.render.score import FACTORS, ROLES, ROOTS, Clip, Role, Scene

__all__ = ["Shown", "draw_clip", "write_page"]

_WIDTH, _ROLL, _SPECTRUM = 480, 150, 110  # pixels


@dataclass(frozen=True, slots=True)
class Shown:
    """A clip on the page: its name, its audio file, stem of its pictures' names, what to say of it, what is wrong."""

    name: str
    audio: Path
    picture: str
    facts: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def draw_clip(
    folder: Folder, name: str, clip: Clip, audio: Path, place: Path, instruments: Mapping[Role, str]
) -> Shown:
    """Draw a clip's pictures into `place` and collect what the page says of it. Raises UsageError."""
    scene, anchor = folder.scenes[name], folder.scenes["anchor"]
    picture = f"{folder.factor}-{folder.number}-{name}"
    roll = piano_roll(clip.performance, _WIDTH, _ROLL)
    spectrum = spectrogram_png(clip.samples, clip.rate, _WIDTH, _SPECTRUM)
    write_whole(place / f"{picture}.svg", lambda file: file.write(roll.encode()))
    write_whole(place / f"{picture}.png", lambda file: file.write(spectrum))
    return Shown(name, audio, picture, _facts(scene, anchor, clip, instruments), _warnings(clip))


def _facts(scene: Scene, anchor: Scene, clip: Clip, instruments: Mapping[Role, str]) -> tuple[str, ...]:
    tempo = f"{scene.tempo:.0f} bpm"
    if scene is not anchor:
        tempo += f" (× {scene.tempo / anchor.tempo:.3f})"
    played = [
        f"{role}: {instruments[role]}" + (f" {clip.levels[role]:+.1f} dB" if len(clip.levels) > 1 else "")
        for role in ROLES
        if role in instruments
    ]
    effects = scene.effects
    treated = [effects.codec or "", f"low-pass {effects.lowpass:.0f} Hz" if effects.lowpass else ""]
    return (
        f"{scene.melody.setting}, {ROOTS[scene.key]} {scene.melody.mode}, {scene.melody.meter}, {tempo}",
        f"{scene.rhythm.groove.name}; comp {scene.rhythm.comp}, bass {scene.rhythm.bass}",
        *played,
        ", ".join(text for text in treated if text),
    )


def _warnings(clip: Clip) -> tuple[str, ...]:
    """What should never be: the renderer draws such a folder again."""
    return tuple(f"mute: {role}" for role, level in clip.levels.items() if level < -40)


def write_page(place: Path, folders: Sequence[tuple[Folder, Sequence[Shown]]]) -> Path:
    """Write `place`/index.html about these folders, in the order of the factors. Raises UsageError."""
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    factors = [factor for factor in FACTORS if any(folder.factor == factor for folder, _ in folders)]
    sections = []
    for factor in factors:
        mine = [(folder, clips) for folder, clips in folders if folder.factor == factor]
        sections.append(f'<h2 id="{factor}">{factor}</h2>')
        sections += [_section(folder, clips, place) for folder, clips in mine]
    page = template.substitute(
        title="Rendered triplets",
        introduction=(
            "Positives share the factor with the anchor and nothing else; the negative shares nothing; the adversarial "
            "negative shares everything but the factor. Pictures: the notes that were asked for, and the power "
            "spectrum of what came out."
        ),
        links="".join(f'<a href="#{factor}">{factor}</a>' for factor in factors),
        sections="\n".join(sections),
    )
    path = place / "index.html"
    write_whole(path, lambda file: file.write(page.encode()))
    return path


def _section(folder: Folder, clips: Sequence[Shown], place: Path) -> str:
    anchor = folder.scenes["anchor"]
    head = f"{folder.name} · {anchor.melody.meter} · {anchor.melody.mode} · {folder.part}"
    figures = "\n".join(_figure(clip, place) for clip in clips)
    return f'<section><h3>{escape(head)}</h3><div class="clips">\n{figures}\n</div></section>'


def _figure(clip: Shown, place: Path) -> str:
    kind = {"positive": "positive", "negative": "negative"}.get(clip.name.partition("_")[0], "")
    kind = "adversarial" if clip.name.endswith("adversarial") else kind
    lines = [*map(escape, (fact for fact in clip.facts if fact))]
    lines += [f'<span class="warning">{escape(text)}</span>' for text in clip.warnings]
    title = clip.name.replace("_", " ")
    source = quote(os.path.relpath(clip.audio, place).replace(os.sep, "/"))
    return (
        f'<figure class="{kind}"><figcaption><b>{escape(title)}</b></figcaption>'
        f'<img loading="lazy" width="{_WIDTH}" height="{_ROLL}" src="{clip.picture}.svg"'
        f' alt="notes of {escape(title)}">'
        f'<img loading="lazy" width="{_WIDTH}" height="{_SPECTRUM}" src="{clip.picture}.png"'
        f' alt="spectrum of {escape(title)}">'
        f'<audio controls preload="none" src="{escape(source)}"></audio>'
        f"<figcaption>{'<br>'.join(lines)}</figcaption></figure>"
    )
