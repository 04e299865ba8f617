"""Pictures of a clip: notes are drawn at their time and pitch, and browsers can read the files."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.types import FloatArray, IntArray
from soundalike.evaluate.audit.pictures import COLOURS, piano_roll, spectrogram_png
from soundalike.render.score.music import ROLES, Beat, Performance, Played, SoundingChord

RATE, WIDTH, HEIGHT = 22050, 480, 110
SVG = "{http://www.w3.org/2000/svg}"
TAKE = Performance(
    12.0,
    {
        "lead": (Played(6.0, 9.0, 72, 96), Played(11.0, 14.0, 74, 96)),
        "comp": (Played(0.0, 3.0, 60, 70),),
        "bass": (Played(3.0, 6.0, 36, 90),),
        "drums": (Played(1.5, 1.6, 36, 100), Played(4.5, 4.6, 42, 100)),
    },
    (SoundingChord(0.0, 3.0, 1, "min7"), SoundingChord(3.0, 3.5, 10, "hdim7"), SoundingChord(3.5, 12.0, 6, "maj")),
    (Beat(0.0, 4), Beat(3.0, 1), Beat(6.0, 2)),
)


def strokes(svg: str, colour: str) -> list[tuple[float, float, float]]:
    """(x, y, length) of the lines of one colour."""
    paths = [path for path in ET.fromstring(svg).iter(f"{SVG}path") if path.get("stroke") == colour]
    assert len(paths) == 1
    found = re.findall(r"M([\d.]+) ([\d.]+)[hv]([-\d.]+)", paths[0].get("d", ""))
    return [(float(x), float(y), float(length)) for x, y, length in found]


def shades(png: bytes) -> IntArray:
    """The palette indices of a PNG of `spectrogram_png`; the checksum of every chunk is verified."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind], at = data, at + 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 3, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any(), "no row is filtered"
    assert rows.max() < len(chunks[b"PLTE"]) / 3
    return rows[:, 1:]


def sine(frequency: float, rate: int = RATE, seconds: float = 2.0) -> FloatArray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def row_of(frequency: float, rate: int = RATE, height: int = HEIGHT) -> int:
    per_octave = int(np.ceil(height / np.log2(min(14080.0, rate / 2) / 55.0)))
    return height - 1 - round(per_octave * float(np.log2(frequency / 55.0)))


def test_notes_are_drawn_at_their_time_and_pitch() -> None:
    svg = piano_roll(TAKE, 480, 150)
    lead, comp, bass = (strokes(svg, COLOURS[role]) for role in ("lead", "comp", "bass"))
    assert [(x, length) for x, _, length in lead] == [(240.0, 119.5), (440.0, 39.5)], "40 pixels a second, cut at 12 s"
    assert [(x, length) for x, _, length in comp + bass] == [(0.0, 119.5), (120.0, 119.5)]
    heights = [lead[1][1], lead[0][1], comp[0][1], bass[0][1]]
    assert heights == sorted(heights), "higher notes are higher up"
    # The pitched notes are between the chord names and the drums.
    drums = strokes(svg, COLOURS["drums"])
    assert heights[0] > 12 and heights[-1] < min(y + length for _, y, length in drums)
    assert [x for x, _, _ in drums] == [60.0, 180.0]
    assert drums[0][1] > drums[1][1], "the kick is at the bottom"


def test_the_shortest_note_is_visible() -> None:
    grace = replace(TAKE, parts={"lead": (Played(6.0, 6.01, 72, 96),)})
    assert [length for _, _, length in strokes(piano_roll(grace, 480, 150), COLOURS["lead"])] == [1.0]


def test_without_drums_the_roll_has_the_full_height() -> None:
    quiet = replace(TAKE, parts={"lead": TAKE.parts["lead"]})
    svg = piano_roll(quiet, 480, 150)
    assert strokes(svg, COLOURS["drums"]) == strokes(svg, COLOURS["bass"]) == []
    assert max(y for _, y, _ in strokes(svg, COLOURS["lead"])) > 150 * 0.6


def test_chord_names_are_drawn_if_they_fit() -> None:
    texts = [
        (text.text, float(text.get("x", ""))) for text in ET.fromstring(piano_roll(TAKE, 480, 150)).iter(f"{SVG}text")
    ]
    assert texts == [("Db:min7", 2.0), ("Gb:maj", 142.0)], "the half-diminished chord is 20 pixels wide"


def test_bar_lines_differ_from_beats() -> None:
    svg = piano_roll(TAKE, 480, 150)
    assert '"M0.0 12V150M240.0 12V150" stroke="#eee"' in svg
    assert '"M120.0 12V150" stroke="#bbb"' in svg


def test_the_picture_of_a_dense_clip_is_small() -> None:
    rng = np.random.default_rng(0)
    parts = {
        role: tuple(Played(s, s + 0.2, int(rng.integers(36, 80)), 90) for s in rng.uniform(0, 12, 250).tolist())
        for role in ROLES
    }
    assert len(piano_roll(replace(TAKE, parts=parts), 480, 150)) < 25_000


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_performance_can_be_drawn(data: st.DataObject) -> None:
    note = st.builds(lambda s, d, n: Played(s, s + d, n, 90), st.floats(0, 4), st.floats(0, 4), st.integers(0, 127))
    parts = data.draw(st.dictionaries(st.sampled_from(ROLES), st.lists(note, max_size=9).map(tuple)))
    width, height = data.draw(st.integers(60, 900)), data.draw(st.integers(60, 400))
    svg = piano_roll(Performance(4.0, parts, (), ()), width, height)
    for role in ROLES:
        drawn = strokes(svg, COLOURS[role])
        assert len(drawn) == len(parts.get(role, ()))
        for x, y, length in drawn:
            assert 0 <= x <= width and 0 <= y <= height
            assert role == "drums" or x + length <= width + 1.1


@pytest.mark.parametrize("rate", [22050, 44100])
@pytest.mark.parametrize("frequency", [220.0, 440.0, 3520.0])
def test_a_sine_is_a_line_at_its_frequency(frequency: float, rate: int) -> None:
    image = shades(spectrogram_png(sine(frequency, rate), rate, WIDTH, HEIGHT))
    assert image.shape == (HEIGHT, WIDTH)
    rows = image[:, 20:-20].argmax(axis=0)
    assert np.abs(rows - row_of(frequency, rate)).max() <= 1
    assert image.max() == 63, "the maximum has the brightest shade"


def test_a_click_is_a_column_at_its_time() -> None:
    samples = np.zeros(4 * RATE, np.float32)
    samples[3 * RATE] = 1.0
    bright = shades(spectrogram_png(samples, RATE, 400, HEIGHT)).sum(axis=0)
    assert abs(int(bright.argmax()) - 300) <= 5
    assert not bright[:280].any() and not bright[320:].any()


def test_levels_are_decibels() -> None:
    loud, soft = sine(880.0), sine(880.0) * 10 ** (-26 / 20)
    image = shades(spectrogram_png(np.concatenate([loud, soft.astype(np.float32)]), RATE, 400, HEIGHT))
    step = int(image[:, 100].max()) - int(image[:, 300].max())
    assert step * 65 / 63 == pytest.approx(26, abs=1.1)


def test_equal_power_per_octave_is_equally_bright() -> None:
    image = shades(spectrogram_png(sine(880.0) + sine(7040.0), RATE, 400, HEIGHT))[:, 200]
    low, high = (int(image[row_of(f) - 2 : row_of(f) + 3].max()) for f in (880.0, 7040.0))
    assert abs(low - high) * 65 / 63 < 4, "the bandwidths differ by three octaves, which is 9 dB"


@pytest.mark.parametrize("length", [0, 1, 500, RATE])
def test_silence_of_any_length_is_black(length: int) -> None:
    image = shades(spectrogram_png(np.zeros(length, np.float32), RATE, WIDTH, HEIGHT))
    assert image.shape == (HEIGHT, WIDTH) and not image.any()


def test_the_same_samples_give_the_same_bytes() -> None:
    noise = np.random.default_rng(1).standard_normal(12 * RATE).astype(np.float32)
    assert spectrogram_png(noise, RATE, WIDTH, HEIGHT) == spectrogram_png(noise, RATE, WIDTH, HEIGHT)


def test_pillow_reads_the_png() -> None:
    image = pytest.importorskip("PIL.Image", reason="this check reads the PNG with pillow")
    import io

    png = spectrogram_png(sine(440.0), RATE, WIDTH, HEIGHT)
    with image.open(io.BytesIO(png)) as opened:
        opened.load()
        assert (opened.size, opened.mode) == ((WIDTH, HEIGHT), "P")
        assert np.array_equal(np.asarray(opened), shades(png))
        lightness = np.asarray(opened.convert("L"))
    assert lightness[row_of(440.0), WIDTH // 2] > 200 and lightness[2, WIDTH // 2] < 20
