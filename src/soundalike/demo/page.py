"""The demo's result as one self-contained web page: queries, answers to play, and why they match."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from soundalike.core.types import Match, SpaceScore
from soundalike.demo.clips import Clip

__all__ = ["DemoAnswer", "DemoQuery", "render_page"]

_COLOURS = 6  # how many page.html defines: --s0 to --s5; more spaces share the last
_ICONS = (
    '<svg class="go" viewBox="0 0 24 24" aria-hidden="true"><path d="M7 4v16l13-8z"/></svg>'
    '<svg class="stop" viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6h12v12H6z"/></svg>'
)


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """One match, the clip it found, and whether it is what the question asks for."""

    clip: Clip
    match: Match
    right: bool


@dataclass(frozen=True, slots=True)
class DemoQuery:
    """A search to show: what it asks and why, its weights by space, the query, the answers best first."""

    title: str
    why: str
    weights: Mapping[str, float]
    query: Clip
    answers: tuple[DemoAnswer, ...]


def render_page(questions: Sequence[DemoQuery]) -> str:
    """The whole page as HTML; every clip lies in it once, however many players point to it."""
    clips = {clip.path: clip for q in questions for clip in (q.query, *(a.clip for a in q.answers))}
    numbers = {path: f"c{k}" for k, path in enumerate(clips)}
    colours = _colours(questions)
    # "<" is escaped so that nothing in the data can close the script element it lies in.
    audio = json.dumps({numbers[path]: _data_uri(path) for path in clips}).replace("<", "\\u003c")
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        legend="".join(f"<li>{_dot(colour)}{escape(name)}</li>" for name, colour in colours.items()),
        questions="\n".join(_question(q, numbers, colours) for q in questions),
        audio=audio,
    )


def _data_uri(path: Path) -> str:
    return "data:audio/ogg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _colours(questions: Sequence[DemoQuery]) -> dict[str, str]:
    """A CSS colour for every space that has a part in some answer or a weight, in order of appearance."""
    names: Iterable[str] = (
        name for q in questions for source in (*(a.match.spaces for a in q.answers), q.weights) for name in source
    )
    return {name: f"var(--s{min(k, _COLOURS - 1)})" for k, name in enumerate(dict.fromkeys(names))}


def _dot(colour: str) -> str:
    return f'<span class="dot" style="--c:{colour}"></span>'


def _signed(value: float) -> str:
    """Two decimals with a sign that lines up with digits; what rounds to nothing has none."""
    return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"


def _about(clip: Clip) -> str:
    return f"{escape(clip.key)}, {clip.tempo:.0f} BPM"


def _button(clip: Clip, numbers: Mapping[Path, str]) -> str:
    return (
        f'<button type="button" class="play" aria-pressed="false" data-clip="{numbers[clip.path]}" '
        f'aria-label="Play {escape(clip.title)}">{_ICONS}</button>'
    )


def _question(question: DemoQuery, numbers: Mapping[Path, str], colours: Mapping[str, str]) -> str:
    shares = [[p.share for p in a.match.spaces.values()] for a in question.answers]
    # One scale for all bars of a question: room left of the line for the most that speaks against a match.
    left = max((-sum(s for s in row if s < 0) for row in shares), default=0.0)
    right = max((sum(s for s in row if s > 0) for row in shares), default=0.0)
    weights = ",".join(f"{name}={value:g}" for name, value in question.weights.items() if value)
    query, found = question.query, sum(answer.right for answer in question.answers)
    rows = "\n".join(
        _answer(rank, answer, query, left, right, numbers, colours)
        for rank, answer in enumerate(question.answers, start=1)
    )
    return f"""<section>
<div class="ask"><h2>{escape(question.title)}</h2><span class="weights">weights {escape(weights)}</span></div>
<p class="soft">{escape(question.why)} {found} of the {len(question.answers)} answers below are right.</p>
<div class="query">{_button(query, numbers)}
<div><span class="tag">Query</span><span class="title">{escape(query.title)}</span>
<span class="meta">{_about(query)}</span></div>
<input type="range" min="0" max="1000" value="0" aria-label="Position in {escape(query.title)}"></div>
<ol>
{rows}
</ol>
</section>"""


def _answer(
    rank: int,
    answer: DemoAnswer,
    query: Clip,
    left: float,
    right: float,
    numbers: Mapping[Path, str],
    colours: Mapping[str, str],
) -> str:
    clip, parts = answer.clip, answer.match.spaces
    alike = [name for name in ("tune", "groove", "instruments") if getattr(clip, name) == getattr(query, name)]
    note = "same " + " and ".join(alike) if alike else ""
    if answer.right:
        note = f' <span class="tick">✓ {note or "right"}</span>'
    elif note:
        note = f" · {note}"
    chips = "".join(_chip(name, part, colours[name]) for name, part in parts.items())
    return f"""<li class="match" data-rank="{rank}" data-score="{answer.match.score!r}">
<span class="rank">{rank}</span>
<span class="play-cell">{_button(clip, numbers)}</span>
<div class="body"><div class="title">{escape(clip.title)}</div>
<div class="meta">{_about(clip)}{note}</div></div>
{_bar(parts, left, right, colours)}
<span class="score">{_signed(answer.match.score)}</span>
<div class="chips">{chips}</div><span class="done"></span></li>"""


def _bar(parts: Mapping[str, SpaceScore], left: float, right: float, colours: Mapping[str, str]) -> str:
    """Shares stacked outwards from the zero line, for and against; widths in percent of the bar."""
    scale = 100.0 / (left + right or 1.0)
    ends = {True: left, False: left}  # where the next share against (True) or for (False) begins
    segments = []
    for name, part in parts.items():
        against = part.share < 0
        start = ends[against] + min(part.share, 0.0)
        ends[against] += part.share
        if part.share:
            segments.append(
                f'<i data-space="{escape(name)}" data-share="{part.share!r}" title="{escape(name)} '
                f'{_signed(part.share)}" style="--c:{colours[name]};left:{start * scale:.2f}%;'
                f'width:{abs(part.share) * scale:.2f}%"></i>'
            )
    label = ", ".join(f"{name} {_signed(part.share)}" for name, part in parts.items())
    return (
        f'<div class="bar" role="img" aria-label="Shares: {escape(label)}">{"".join(segments)}'
        f'<b style="left:{left * scale:.2f}%"></b></div>'
    )


def _chip(name: str, part: SpaceScore, colour: str) -> str:
    """One space in numbers: its share where it has a weight, and its percentile."""
    number = "absent"
    if part.percentile is not None:
        number = f"{part.percentile:.1f} %" if part.percentile < 99.95 else "100 %"
    share = f"{_signed(part.share)} · " if part.weight else ""
    return (
        f'<span class="chip{"" if part.weight else " off"}"><span>{_dot(colour)}{escape(name)}</span>'
        f"<span>{share}{number}</span></span>"
    )
