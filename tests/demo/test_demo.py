"""The bundled clips are the full cross they claim to be; the page shows what it is handed, and nothing else."""

from __future__ import annotations

import base64
import itertools
import json
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundalike.core.errors import UsageError
from soundalike.core.types import Match, SpaceScore, Span
from soundalike.demo import clips
from soundalike.demo.clips import Clip, load_clips
from soundalike.demo.page import DemoAnswer, DemoQuery, render_page

DEMO = Path(clips.__file__).parent
TOOLS = Path(__file__).resolve().parents[2] / "tools"
HOSTILE = """<script>alert("1")</script> & 'x' </style> $audio"""


def test_full_cross() -> None:
    cells = Counter((c.tune, c.groove, c.instruments) for c in load_clips())
    tunes, grooves, instruments = (sorted({cell[k] for cell in cells}) for k in range(3))
    assert (len(tunes), len(grooves), len(instruments)) == (4, 3, 3)
    assert cells == Counter(itertools.product(tunes, grooves, instruments))


def test_key_and_tempo_do_not_give_a_tune_away() -> None:
    for tune in {c.tune for c in load_clips()}:
        same = [c for c in load_clips() if c.tune == tune]
        assert len({c.key for c in same}) == len({c.tempo for c in same}) == 9
        assert len({c.key.split()[1] for c in same}) == 1
        assert all(120 * 0.96 - 0.1 <= c.tempo <= 120 * 1.04 + 0.1 for c in same)


def test_list_and_files_agree() -> None:
    listed = json.loads((DEMO / "clips.json").read_text(encoding="utf-8"))
    assert {DEMO / row["file"] for row in listed["clips"]} == set((DEMO / "clips").iterdir())
    assert len({c.title for c in load_clips()}) == len({c.path for c in load_clips()}) == len(listed["clips"]) == 36
    assert "MIT" in listed["credits"]["soundfont"]["licence"]
    assert sum(path.stat().st_size for path in (DEMO / "clips").iterdir()) < 1_600_000


def test_clips_decode_at_one_level() -> None:
    levels = []
    for clip in load_clips():
        with soundfile.SoundFile(clip.path) as file:
            assert (file.samplerate, file.channels) == (22050, 1)
            assert (file.title, file.artist, file.album) == (clip.title, clip.instruments, "soundalike demo")
            samples = file.read(dtype="float32")
        assert 7.0 <= len(samples) / 22050 <= 9.0
        assert 0.2 < np.abs(samples).max() < 1.0
        # The tune plays in every bar, so no second of the music is silent.
        seconds = samples[: 7 * 22050].reshape(7, -1)
        assert np.sqrt(np.mean(np.square(seconds), axis=1)).min() > 0.02
        levels.append(20 * np.log10(np.sqrt(np.mean(np.square(samples)))))
    assert max(levels) - min(levels) < 3.0


class _Page(HTMLParser):
    """What a reader of the page gets: tags, text, links, rows with rank, score and shares, embedded clips."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text: list[str] = []
        self.rows: list[tuple[int, float, dict[str, float]]] = []
        self.plays: list[str] = []
        self.audio: dict[str, str] = {}
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self.links += [given[name] for name in ("src", "href", "action", "data", "poster") if name in given]
        self._inside = given.get("id", tag)
        if tag == "li" and given.get("class") == "match":
            self.rows.append((int(given["data-rank"]), float(given["data-score"]), {}))
        if "data-space" in given:
            self.rows[-1][2][given["data-space"]] = float(given["data-share"])
        if "data-clip" in given:
            self.plays.append(given["data-clip"])

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "audio":
            self.audio = json.loads(data)
        elif self._inside not in ("style", "script"):
            self.text.append(data)


def _part(share: float, percentile: float | None = 97.5) -> SpaceScore:
    present = percentile is not None
    return SpaceScore(0.5 if present else None, share if present else None, 1.0, share, percentile, "model", present)


def _question(query: Clip, found: list[Clip], title: str = "Which clips play the same tune?") -> DemoQuery:
    answers = []
    for k, clip in enumerate(found):
        parts = {"melody": _part(2.125 - k), "rhythm": _part(-0.375), "harmony": _part(0.0, None)}
        score = sum(part.share for part in parts.values())
        answers.append(DemoAnswer(clip, Match(Span(str(clip.path), 0.0, 8.0), score, parts), clip.tune == query.tune))
    return DemoQuery(title, "Only the melody counts.", {"melody": 2.0, "timbre": -1.0}, query, tuple(answers))


def test_page_shows_what_it_was_given() -> None:
    first, *others = load_clips()[:12]
    questions = [_question(first, others[:4]), _question(others[0], [first, *others[5:11]])]
    page = _Page(render_page(questions))
    wanted = [
        (rank, a.match.score, {n: p.share for n, p in a.match.spaces.items() if p.share})
        for q in questions
        for rank, a in enumerate(q.answers, start=1)
    ]
    assert page.rows == wanted
    text = " ".join(" ".join(page.text).split())
    assert "melody=2,timbre=-1" in text and "97.5 %" in text and "absent" in text
    assert text.count("✓ same tune") == sum(a.right for q in questions for a in q.answers)
    assert all(q.title in text and q.query.title in text for q in questions)


def test_page_embeds_each_clip_once() -> None:
    first, *others = load_clips()[:6]
    html = render_page([_question(first, others), _question(others[0], [first, *others[1:]])])
    page = _Page(html)
    for clip in (first, *others):
        assert html.count(base64.b64encode(clip.path.read_bytes()).decode()) == 1
    assert len(page.audio) == 6 and len(page.plays) == 12 and set(page.plays) == set(page.audio)
    sound = base64.b64decode(page.audio[page.plays[0]].removeprefix("data:audio/ogg;base64,"))
    assert sound == first.path.read_bytes()


def test_page_loads_nothing_from_elsewhere() -> None:
    first, *others = load_clips()[:3]
    html = render_page([_question(first, others)])
    page = _Page(html)
    assert all(link.startswith("data:") for link in page.links)
    assert not {"iframe", "object", "embed", "img", "form"} & set(page.tags)
    assert not any(word in html for word in ("http://", "https://", "@import", "url(", "fetch(", "import("))
    assert "default-src 'none'" in html


def test_page_escapes_everything() -> None:
    first, second = (replace(c, title=HOSTILE, key=HOSTILE) for c in load_clips()[:2])
    plain = _Page(render_page([_question(*load_clips()[:1], list(load_clips()[1:2]))]))
    question = _question(first, [second], title=HOSTILE)
    parts = {HOSTILE: _part(1.0)}
    answer = replace(question.answers[0], match=replace(question.answers[0].match, spaces=parts))
    html = render_page([replace(question, why=HOSTILE, weights={HOSTILE: 1.0}, answers=(answer,))])
    page = _Page(html)
    assert "<script>alert" not in html
    assert page.tags["script"] == plain.tags["script"] == 2 and page.tags["style"] == 1
    assert page.rows == [(1, answer.match.score, {HOSTILE: 1.0})]
    assert "".join(page.text).count(HOSTILE) >= 6
    assert len(page.audio) == 2


def test_page_without_answers() -> None:
    page = _Page(render_page([_question(load_clips()[0], [])]))
    assert page.rows == [] and len(page.audio) == 1
    assert _Page(render_page([])).audio == {}


def test_rendering_is_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TOOLS)
    import render_demo

    try:
        orchestra = render_demo.find_orchestra()
    except UsageError as missing:
        pytest.skip(f"needs FluidSynth and one soundfont: {missing}")
    cells = list(render_demo.cells())
    assert {cell.file for cell in cells} == {clip.path.name for clip in load_clips()}
    first = render_demo.samples(cells[0], orchestra)
    render_demo.samples(cells[4], orchestra)
    again = render_demo.samples(cells[0], orchestra)
    assert first.dtype == np.float32 and np.array_equal(first, again)
    # The clip in the package is this one: Vorbis is lossy, so alike rather than equal.
    kept, _ = soundfile.read(next(c.path for c in load_clips() if c.path.name == cells[0].file), dtype="float32")
    assert len(kept) == len(first) and np.corrcoef(kept, first)[0, 1] > 0.98
