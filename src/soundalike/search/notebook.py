"""Results as HTML for notebooks: an audio player per match, and the shares of its score as a bar."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from soundalike.audio import load
from soundalike.core.errors import AudioError, one_line
from soundalike.core.palette import space_colours
from soundalike.core.types import Match, Span

__all__ = ["results_html"]

_PLAYERS = 20
"""Matches with a player: each embeds its audio in the notebook."""
_SECONDS = 10.0
_RATE = 22050
_BAR = 160
"""Width of a bar in pixels."""


def results_html(matches: Sequence[Match], weights: Mapping[str, float]) -> str:
    """A table of the matches. Every text is escaped by the serialiser, so tags and paths cannot inject markup."""
    colours = space_colours(weights)
    table = Element("table")
    header = SubElement(table, "tr")
    for text in ("#", "score", "shares", "track", "BPM", "key", "listen"):
        SubElement(header, "th", {"style": "text-align:left"}).text = text
    widest = max((sum(abs(one.share) for one in match.spaces.values()) for match in matches), default=0.0)
    for match in matches:
        row = SubElement(table, "tr")
        SubElement(row, "td").text = str(match.rank)
        SubElement(row, "td").text = f"{match.score:+.2f}"
        SubElement(row, "td").append(_bar(match, colours, widest))
        named = f"{match.artist} - {match.title}" if match.artist and match.title else match.path
        SubElement(row, "td", {"style": "text-align:left", "title": one_line(match.path)}).text = one_line(named)
        SubElement(row, "td").text = f"{match.bpm:.0f}" if match.bpm else ""
        SubElement(row, "td").text = one_line(match.key or "")
        SubElement(row, "td").append(_player(match.span) if match.rank <= _PLAYERS else Element("span"))
    legend = Element("div")
    for name, colour in colours.items():
        SubElement(legend, "span", {"style": f"color:{colour}"}).text = f"■ {name}  "
    return "".join(tostring(element, encoding="unicode", short_empty_elements=False) for element in (legend, table))


def _bar(match: Match, colours: dict[str, str], widest: float) -> Element:
    """The shares side by side, as wide as they are large; those that count against the match are faint."""
    bar = Element("div", {"style": f"width:{_BAR}px;height:1em;white-space:nowrap;text-align:left"})
    for name, one in match.spaces.items():
        if one.share:
            width = _BAR * abs(one.share) / widest
            style = f"display:inline-block;width:{width:.1f}px;height:1em;background:{colours.get(name, '#75808c')}"
            SubElement(bar, "span", {"style": style + (";opacity:.35" if one.share < 0 else ""),
                                     "title": f"{name} {one.share:+.2f}"})  # fmt: skip
    return bar


def _player(span: Span) -> Element:
    """A player of the first ten seconds of a span, embedded as Ogg Vorbis; a note where the file cannot be read."""
    import soundfile
    import soxr

    try:
        audio = load(span.track, start=span.start, end=min(span.end, span.start + _SECONDS))
    except AudioError as error:
        missing = Element("span")
        missing.text = one_line(str(error))
        return missing
    mono = soxr.resample(np.asarray(audio.samples.mean(axis=0), np.float32), audio.rate, _RATE)
    content = io.BytesIO()
    soundfile.write(content, np.clip(mono, -1, 1), _RATE, format="OGG", subtype="VORBIS")
    encoded = base64.b64encode(content.getvalue()).decode("ascii")
    return Element("audio", {"controls": "controls", "preload": "none", "src": f"data:audio/ogg;base64,{encoded}"})
