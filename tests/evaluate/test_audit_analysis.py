"""The analysis of the audit on simple music with known content, and the trivial cues on sounds with known cues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from soundalike.core.errors import AudioError, UsageError
from soundalike.evaluate.audit.analysis import HOP, ClipAnalysis, analyse
from soundalike.evaluate.audit.comparison import PairScores, compare_clips, score_transcription
from soundalike.evaluate.audit.cues import CUES, clip_cues, separability
from soundalike.render.score.music import (
    CHORDS,
    Band,
    Clip,
    Groove,
    Melody,
    Performance,
    Played,
    Progression,
    Rhythm,
    Role,
    Scene,
    SoundingChord,
)

pytest.importorskip("mir_eval", reason="the audit's measures need mir_eval")

RATE = 32000
SECONDS = 6.0
KICK, SNARE, HAT = 36, 38, 42

# Semitones above the tonic, one per beat; (root, kind) of chords, one per bar; drum strokes in beats within a bar.
TUNES = {"first": (0, 2, 4, 7, 5, 4, 9, 7), "second": (7, 12, 11, 2, 0, 9, 5, 3)}
CHORDS_OF = {"first": ((0, "maj"), (9, "min"), (5, "maj"), (7, "7")), "second": ((2, "min"), (7, "maj"), (4, "min"))}
GROOVES = {
    "first": {KICK: (0.0, 2.0), SNARE: (1.0, 3.0), HAT: (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)},
    "second": {KICK: (0.0, 0.75, 1.5, 2.75), SNARE: (1.25, 2.25, 3.75), HAT: (0.25, 1.75, 3.25)},
}


def wave(note: float, seconds: float, harmonics: int) -> np.ndarray:
    """A note (t,) with fades of 10 ms and the h-th harmonic at amplitude 1 / h."""
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 440.0 * 2 ** ((note - 69) / 12)
    sound = sum(np.sin(2 * np.pi * h * pitch * t) / h for h in range(1, harmonics + 1) if h * pitch < RATE / 2)
    return sound * np.clip(np.minimum(t, seconds - t) / 0.01, 0.0, 1.0)


@cache
def stroke(drum: int) -> np.ndarray:
    """A drum stroke (t,): a decaying sine for the kick, band-limited noise for snare and hi-hat."""
    t = np.arange(round(0.12 * RATE)) / RATE
    if drum == KICK:
        return 1.5 * np.sin(2 * np.pi * 70 * t) * np.exp(-25 * t)
    noise = np.random.default_rng(drum).standard_normal(len(t)) * np.exp(-60 * t)
    band = signal.butter(4, (300, 2000) if drum == SNARE else (6000, 11000), "bandpass", fs=RATE, output="sos")
    return signal.sosfilt(band, noise)


def add(stem: np.ndarray, sound: np.ndarray, start: float) -> None:
    """Add a sound to a stem, clipped to the range of the stem."""
    at = round(start * RATE)
    sound = sound[max(-at, 0) :]
    at = max(at, 0)
    stem[at : at + len(sound)] += sound[: max(len(stem) - at, 0)]


def play(
    tune: str | None = "first",
    chords: str | None = "first",
    groove: str | None = "first",
    *,
    key: int = 0,
    tempo: float = 110.0,
    offset: float = 0.0,
    harmonics: tuple[int, int] = (8, 3),
    seconds: float = SECONDS,
) -> tuple[Clip, Scene]:
    """A clip of a tune, chords and drums, by name or None; `harmonics` are those of the lead and of the chords."""
    beat = 60.0 / tempo
    last = int(offset + seconds / beat) + 1
    stems: dict[Role, np.ndarray] = {}
    parts: dict[Role, tuple[Played, ...]] = {}
    sounding: list[SoundingChord] = []

    def part(role: Role, notes: Sequence[Played], sounds: Sequence[np.ndarray]) -> None:
        audible = [(n, s) for n, s in zip(notes, sounds, strict=True) if n.start < seconds and n.end > 0]
        stems[role], parts[role] = np.zeros(round(seconds * RATE), np.float32), tuple(n for n, _ in audible)
        for note, sound in audible:
            add(stems[role], 0.1 * sound, note.start)

    if tune:
        notes = [
            Played((k - offset) * beat, (k + 0.9 - offset) * beat, 72 + key + TUNES[tune][k % len(TUNES[tune])], 96)
            for k in range(last)
        ]
        part("lead", notes, [2 * wave(n.note, n.end - n.start, harmonics[0]) for n in notes])
    if chords:
        notes = []
        for bar in range(last // 4 + 1):
            root, kind = CHORDS_OF[chords][bar % len(CHORDS_OF[chords])]
            start, end = (4 * bar - offset) * beat, (4 * bar + 4 - offset) * beat
            notes += [Played(start, end, 48 + (key + root) % 12 + tone, 80) for tone in CHORDS[kind]]
            if start < seconds and end > 0:
                sounding.append(SoundingChord(max(start, 0.0), min(end, seconds), (key + root) % 12, kind))
        part("comp", notes, [wave(n.note, n.end - n.start, harmonics[1]) for n in notes])
    if groove:
        hits = [
            ((4 * bar + at - offset) * beat, drum)
            for bar in range(last // 4 + 1)
            for drum, places in GROOVES[groove].items()
            for at in places
        ]
        hits = sorted((start, drum) for start, drum in hits if start >= 0)
        part("drums", [Played(s, s + 0.1, d, 90) for s, d in hits], [4 * stroke(d) for _, d in hits])
    samples = np.sum(list(stems.values()), axis=0, dtype=np.float32)
    clip = Clip(samples, RATE, stems, dict.fromkeys(stems, 0.0), Performance(seconds, parts, tuple(sounding), ()))
    scene = Scene(
        Melody(str(tune), "", "4/4", "major", 8.0, ()),
        Progression(str(chords), "4/4", "major", 16.0, ()),
        Rhythm(Groove(str(groove), "", "4/4", 4.0, ()), "", ""),
        Band(),
        key=key,
        tempo=tempo,
        offset=offset,
    )
    return clip, scene


@cache
def analysed(**options: object) -> ClipAnalysis:
    return analyse(*play(**options))  # type: ignore[arg-type]


def scores(pair: PairScores) -> dict[str, float]:
    return {field.name: getattr(pair, field.name) for field in fields(pair)}


@pytest.mark.parametrize(("key", "tempo", "offset"), [(0, 110.0, 0.0), (5, 84.0, 1.3), (10, 140.0, 2.0)])
def test_the_analysis_matches_the_performance(key: int, tempo: float, offset: float) -> None:
    clip, scene = play(key=key, tempo=tempo, offset=offset)
    found = analyse(clip, scene)
    separate, mixed = score_transcription(clip, found), score_transcription(clip, found, "mix")
    assert min(separate.pitch, separate.chroma, separate.onsets, separate.chords) > 0.93
    assert mixed.chroma > 0.85
    assert mixed.onsets > 0.8


def test_the_analysis_does_not_match_another_performance() -> None:
    clip, scene = play()
    found = analyse(clip, scene)
    other = replace(clip, performance=play("second", "second", "second")[0].performance)
    score = score_transcription(other, found)
    assert max(score.pitch, score.chroma, score.chords) < 0.35
    assert score.onsets < 0.7


def test_an_octave_error_affects_pitch_but_not_chroma() -> None:
    clip, scene = play(chords=None, groove=None)
    played = clip.performance
    low = tuple(replace(note, note=note.note - 12) for note in played.parts["lead"])
    score = score_transcription(replace(clip, performance=replace(played, parts={"lead": low})), analyse(clip, scene))
    assert score.pitch < 0.05
    assert score.chroma > 0.93


def test_a_clip_is_identical_to_itself() -> None:
    for source in ("stems", "mix"):
        assert scores(compare_clips(analysed(), analysed(), source)) == pytest.approx(
            dict.fromkeys(scores(compare_clips(analysed(), analysed())), 1)
        )


@pytest.mark.parametrize(
    ("factor", "other"),
    [
        ("melody", {"tune": "second"}),
        ("harmony", {"chords": "second"}),
        ("rhythm", {"groove": "second"}),
        ("timbre", {"harmonics": (1, 12)}),
    ],
)
def test_only_the_changed_factor_scores_lower(factor: str, other: dict[str, object]) -> None:
    """Another key, tempo and start, so that the mapping of time and pitch is tested too."""
    moved = {"key": 3, "tempo": 123.0, "offset": 1.5}
    same, changed = (scores(compare_clips(analysed(), analysed(**moved, **options))) for options in ({}, other))
    assert same[factor] > changed[factor] + 0.15
    # Timbre is an average over the notes, so it depends on them slightly.
    for name in set(same) - {factor, "timbre"}:
        assert same[name] > 0.8
        assert changed[name] == pytest.approx(same[name], abs=0.05)


@pytest.mark.parametrize("wrong", [{"key": 3}, {"offset": 2.0}, {"tempo": 95.0}])
def test_a_wrong_tempo_offset_or_key_lowers_the_score(wrong: dict[str, float]) -> None:
    assert compare_clips(analysed(), replace(analysed(), **wrong)).melody < 0.6


def test_the_mix_separates_tunes() -> None:
    moved = {"key": 2, "tempo": 100.0, "offset": 0.5}
    same, other = (compare_clips(analysed(), analysed(tune=tune, **moved), "mix").melody for tune in TUNES)
    assert same > 0.75
    assert other < 0.35


def test_parts_that_do_not_play_have_no_score() -> None:
    solo, drums = analysed(chords=None, groove=None), analysed(tune=None, chords=None)
    assert np.isnan(list(scores(compare_clips(solo, drums)).values())).all()
    found = scores(compare_clips(analysed(), solo))
    assert {name for name, score in found.items() if np.isnan(score)} == {"rhythm", "harmony"}
    clip, scene = play(None, None)
    accuracy = score_transcription(clip, analyse(clip, scene))
    assert np.isnan([accuracy.pitch, accuracy.chroma, accuracy.chords]).all()
    assert accuracy.onsets > 0.9


def test_clips_without_common_beats_are_compared_by_timbre_only() -> None:
    found = scores(compare_clips(analysed(), replace(analysed(), offset=400.0)))
    assert {name for name, score in found.items() if not np.isnan(score)} == {"timbre"}


def test_silence_has_no_notes() -> None:
    clip, scene = play()
    stems = {role: np.zeros_like(stem) for role, stem in clip.stems.items()}
    silent = replace(clip, stems=stems, samples=np.zeros_like(clip.samples))
    found = analyse(silent, scene)
    for transcript in found.sources.values():
        assert transcript.pitch is not None
        assert transcript.onsets is not None
        assert transcript.chords is not None
        assert np.isnan(transcript.pitch).all()
        assert sum(map(len, transcript.onsets)) == 0
        assert set(transcript.chords.labels()) == {"N"}
    accuracy = score_transcription(silent, found)
    assert (accuracy.pitch, accuracy.chroma, accuracy.onsets, accuracy.chords) == (0.0, 0.0, 0.0, 0.0)
    assert compare_clips(analysed(), found).melody == 0.0


def test_too_short_clips_are_rejected() -> None:
    clip, scene = play()
    with pytest.raises(AudioError, match=r"^the clip is 0.25 s long, expected at least 0.5 s"):
        analyse(replace(clip, samples=clip.samples[: RATE // 4]), scene)


@settings(max_examples=15, deadline=None)
@given(st.floats(40.0, 94.0), st.integers(1, 12))
def test_any_steady_pitch_is_detected(note: float, harmonics: int) -> None:
    clip, scene = play(groove=None, chords=None, seconds=1.0)
    found = analyse(replace(clip, stems={"lead": wave(note, 1.0, harmonics).astype(np.float32)}), scene)
    pitch = found.sources["stems"].pitch
    assert pitch is not None
    np.testing.assert_allclose(pitch[round(0.1 / HOP) : round(0.9 / HOP)], note, atol=0.2)


@settings(max_examples=4, deadline=None)
@given(st.floats(-30.0, 6.0))
def test_the_analysis_does_not_depend_on_loudness(db: float) -> None:
    clip, scene = play()
    gain = np.float32(10 ** (db / 20))
    louder = replace(clip, samples=gain * clip.samples, stems={r: gain * stem for r, stem in clip.stems.items()})
    for source in ("stems", "mix"):
        assert min(scores(compare_clips(analysed(), analyse(louder, scene), source)).values()) > 0.97


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["first", "second"]), st.integers(0, 11), st.floats(0.0, 2.0), st.floats(60.0, 180.0))
def test_scores_are_between_0_and_1(name: str, key: int, offset: float, tempo: float) -> None:
    other = replace(analysed(tune=name, groove=name), key=key, offset=offset, tempo=tempo)
    assert all(0.0 <= score <= 1.0 for score in scores(compare_clips(analysed(), other)).values())


def cues(samples: np.ndarray, rate: int = RATE) -> dict[str, float]:
    return dict(zip(CUES, clip_cues(samples.astype(np.float32), rate), strict=True))


def test_the_cues_of_a_sine_are_known() -> None:
    found = cues(np.sin(2 * np.pi * 500 * np.arange(2 * RATE) / RATE))
    assert found["loudness"] == pytest.approx(-3.01, abs=0.01)
    assert found["peak"] == pytest.approx(0.0, abs=0.01)
    assert found["crest"] == pytest.approx(3.01, abs=0.01)
    assert found["duration"] == 2.0
    assert found["noise floor"] == pytest.approx(0.0, abs=0.01)
    for name in ("rolloff 95 %", "rolloff 99 %", "centroid"):
        assert found[name] == pytest.approx(np.log2(500), abs=0.02)
    assert found["tilt"] < -40


def test_codec_and_hiss_change_their_cues() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    low = signal.sosfilt(signal.butter(12, 14500, fs=RATE, output="sos"), noise)
    assert cues(low)["codec"] < cues(noise)["codec"] - 10
    assert cues(noise, 22050)["codec"] == 0.0
    clip = np.concatenate([noise, np.zeros(RATE)])
    hiss = 0.001 * np.random.default_rng(1).standard_normal(len(clip))
    assert cues(clip + hiss)["noise floor"] == pytest.approx(-40 + 1.25, abs=1.0)
    assert cues(clip)["noise floor"] < -80


@pytest.mark.parametrize("tonic", [0, 4, 7, 11])
def test_the_tonic_is_a_position_on_the_circle_of_fifths(tonic: int) -> None:
    scale = [wave(60 + tonic + step, 0.4, 5) for step in (0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0)]
    found = cues(0.2 * np.concatenate(scale))
    angle = 2 * np.pi * 7 * tonic / 12
    assert (found["tonic x"], found["tonic y"]) == pytest.approx((np.cos(angle), np.sin(angle)), abs=1e-6)


@pytest.mark.parametrize("rate", [16000, 22050, 32000, 44100])
def test_the_cues_of_silence_are_finite(rate: int) -> None:
    assert np.isfinite(clip_cues(np.zeros(rate, np.float32), rate)).all()
    with pytest.raises(AudioError, match=r"^the clip is 0.05 s long, expected at least 0.1 s"):
        clip_cues(np.zeros(rate // 20, np.float32), rate)


def folders(count: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Folders of five positives and one negative, whose cues depend on the folder but not on the label."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((6 * count, 8)) + 2 * np.repeat(rng.standard_normal((count, 8)), 6, axis=0)
    return rows, np.tile([True] * 5 + [False], count), [f"folder {k // 6}" for k in range(6 * count)]


def test_without_a_cue_separability_is_at_chance_level() -> None:
    found = [separability(*folders(seed=seed), seed).auc for seed in range(5)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)
    assert np.max(np.abs(np.array(found) - 0.5)) < 0.12


@pytest.mark.parametrize("change", ["mean", "variance"])
def test_a_planted_cue_is_detected(change: str) -> None:
    rows, labels, groups = folders()
    cue = np.random.default_rng(1).standard_normal(len(rows))
    rows[:, 3] = cue + labels if change == "mean" else cue * np.where(labels, 2.5, 1.0)
    found = separability(rows, labels, groups, 0)
    assert found.low > 0.6
    assert found.low < found.auc < found.high


def test_separability_is_deterministic_and_independent_of_units() -> None:
    rows, labels, groups = folders(30)
    rows[:, 0] += labels
    found = separability(rows, labels, groups, 7)
    assert separability(rows, labels, groups, 7) == found
    scaled = separability(1000.0 * rows + 5.0, labels, groups, 7)
    assert scaled.auc == pytest.approx(found.auc, abs=1e-3)


def test_invalid_cues_are_rejected() -> None:
    rows, labels, groups = folders(3)
    with pytest.raises(UsageError, match=r"^found negatives in 0 folders, expected at least 2"):
        separability(rows, np.ones_like(labels), groups, 0)
    rows[4, 2] = np.nan
    with pytest.raises(UsageError, match=r"^a cue is not a finite number"):
        separability(rows, labels, groups, 0)
    kinds = [f"{label}{k}" for k, label in enumerate(labels)]
    with pytest.raises(UsageError, match=r"^no folder has both"):
        separability(np.zeros((4, 2)), np.array([True, True, False, False]), kinds[:4], 0)
