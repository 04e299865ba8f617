"""Tests of drawing folders: shared factors, independent nuisance variables and the split."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from test_orchestra import GENERAL_MIDI, write_soundfont

from soundalike.core.errors import UsageError
from soundalike.render.folders.draw import CLIPS, POSITIVES, Folder, draw_folder, folder_part
from soundalike.render.folders.stock import Stock
from soundalike.render.score.grammar import draw_progression
from soundalike.render.score.music import BAR, FACTORS, MODES, ROLES, SPLIT, Band, Scene, SplitPart, part_of
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sound.soundfonts import check_fluidsynth, find_soundfonts
from soundalike.render.sources.load import Sources, load_sources
from soundalike.render.sources.melodies import melody_similarity
from soundalike.render.sources.tunes import load_tunes

mido = pytest.importorskip("mido", reason="MIDI files are read with mido: pip install 'soundalike[render]'")

PLACES = (("4/4", "major"), ("3/4", "minor"), ("6/8", "major"), ("9/8", "minor"))
WORKS = 10  # per part of the split, meter and mode; a folder needs eight
BARS = 16
KEYS = {"major": "D", "minor": "Dm"}
FOLDERS = 40  # train folders per factor, enough to compare distributions
Drawn: TypeAlias = Callable[[SplitPart, int], list[Folder]]
Table: TypeAlias = list[dict[str, float | str]]

FACTOR_ROLES = {"melody": {"lead"}, "rhythm": {"drums"}, "timbre": set(ROLES), "harmony": {"comp", "bass"}}
KICK, SNARE, HAT = 36, 38, 42


# Material -----------------------------------------------------------------------------------------------------------


def write_midi(path: Path, meter: str, notes: Sequence[tuple[float, float, int, int]], *, channel: int = 0,
               key: str = "C", tempo: float = 110.0) -> None:  # fmt: skip
    """Write a MIDI file with one monophonic track of (start, length, note, velocity), in quarter notes."""
    numerator, denominator = map(int, meter.split("/"))
    file, track, now = mido.MidiFile(ticks_per_beat=480), mido.MidiTrack(), 0
    track.append(mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator))
    track.append(mido.MetaMessage("key_signature", key=key))
    track.append(mido.MetaMessage("set_tempo", tempo=round(60e6 / tempo)))
    events = [(round(480 * start), 1, "note_on", note, velocity) for start, _, note, velocity in notes]
    events += [(round(480 * (start + length)), 0, "note_off", note, 0) for start, length, note, _ in notes]
    for at, _, kind, note, velocity in sorted(events):
        track.append(mido.Message(kind, channel=channel, note=note, velocity=velocity, time=at - now))
        now = at
    file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)


def random_tune(
    rng: np.random.Generator, meter: str, mode: str, bars: int = BARS
) -> list[tuple[float, float, int, int]]:
    """Draw a random walk in D that returns to the tonic at the end of each phrase of four bars."""
    notes, step = [], int(rng.integers(0, 8))
    for bar in range(bars):
        place = 0.0
        while place < BAR[meter]:
            length = min(float(rng.choice([0.5, 0.5, 0.5, 1.0, 1.5])), BAR[meter] - place)
            step = int(np.clip(step + rng.choice([-3, -2, -1, 1, 2, 4]), -3, 10))
            at_phrase_end = bar % 4 == 3 and place + length >= BAR[meter] - 1
            step = 0 if at_phrase_end else step
            pitch = 62 + MODES[mode][step % 7] + 12 * (step // 7)
            notes.append((bar * BAR[meter] + place, length, pitch, 80 if place else 105))
            place += length
    return notes


EVERYWHERE: Mapping[tuple[str, str, str], int] = {(part, *place): WORKS for part in SPLIT for place in PLACES}


def write_tunes(folder: Path, works: Mapping[tuple[str, str, str], int] = EVERYWHERE) -> Path:
    """Write a number of works per part, meter and mode, one folder each. Every fourth work has two settings."""
    wanted = dict(works)
    for number in range(10_000):
        name = f"tune {number}"
        place = next((key for key, left in wanted.items() if left and key[0] == part_of(f"tune:{name}")), None)
        if place is None:
            continue
        wanted[place] -= 1
        _, meter, mode = place
        notes = random_tune(np.random.default_rng(number), meter, mode)
        write_midi(folder / name / "1.mid", meter, notes, key=KEYS[mode])
        if wanted[place] % 4 == 0:
            other = [note for k, note in enumerate(notes) if k % 9 != 4]  # a setting with a few notes fewer
            write_midi(folder / name / "2.mid", meter, other, key=KEYS[mode])
        if not any(wanted.values()):
            break
    return folder


def write_drumming(folder: Path) -> Path:
    """Write four performances each of six drummers, mostly in 4/4."""
    for drummer in range(6):
        for number in range(4):
            rng, meter = np.random.default_rng([drummer, number]), ("4/4", "4/4", "4/4", "6/8")[number]
            low, snare, hat = (rng.random(round(2 * BAR[meter])) for _ in range(3))
            notes = []
            for bar in range(8):
                for eighth in range(len(low)):
                    at = bar * BAR[meter] + eighth / 2
                    notes += [(at, 0.1, KICK, 100)] if low[eighth] < 0.35 or not eighth else []
                    notes += [(at, 0.1, SNARE, 100)] if snare[eighth] < 0.35 else []
                    notes += [(at, 0.1, HAT, 80)] if hat[eighth] < 0.7 else []
            path = folder / f"drummer {drummer}" / f"{number}.mid"
            write_midi(path, meter, notes, channel=9, tempo=float(rng.uniform(90, 140)))
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """Tunes and drumming as above, and drawn progressions in place of chorales."""
    folder = tmp_path_factory.mktemp("material")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("HOME", str(folder))
        patch.setitem(sys.modules, "music21", None)  # as if it were not installed, because reading chorales is slow
        found = load_sources(write_tunes(folder / "tunes"), write_drumming(folder / "grooves"))
    assert found.skipped == () and set(found.drummers.values()) == set(SPLIT)
    rng = np.random.default_rng(0)
    yield replace(found, progressions=tuple(draw_progression(rng, "4/4", "major") for _ in range(60)))


@pytest.fixture(scope="module")
def drawn(sources: Sources) -> Drawn:
    """Return a function that draws a number of folders per factor for a part. Synthesised voices play all parts."""
    orchestra = Orchestra((), kits=False)

    @cache
    def folder(part: SplitPart, factor: str, number: int) -> Folder:
        return draw_folder(stocks[part], factor, number, seed=3)

    stocks = {part: Stock(sources, orchestra, part) for part in SPLIT}
    return lambda part, count: [folder(part, factor, number) for number in range(1, count + 1) for factor in FACTORS]


# Shared factors -----------------------------------------------------------------------------------------------------


def traits(scene: Scene) -> dict[str, tuple[str, object]]:
    """Return the elements of a scene: (factor, value) by name."""
    groove = scene.rhythm.groove
    return {
        "work": ("melody", scene.melody.name),
        "groove": ("rhythm", (groove.source, groove.name)),
        "comping style": ("rhythm", scene.rhythm.comp),
        "bass style": ("rhythm", scene.rhythm.bass),
        "progression": ("harmony", scene.progression.name),
        **{role: ("timbre", sound) for role in ROLES if (sound := scene.band.sound(role))},
    }


@pytest.mark.parametrize("factor", FACTORS)
def test_clips_share_exactly_the_intended_traits(drawn: Drawn, factor: str) -> None:
    for folder in (folder for folder in drawn("train", FOLDERS) if folder.factor == factor):
        clips = {name: traits(scene) for name, scene in folder.scenes.items()}
        assert tuple(clips) == CLIPS
        for first, second in combinations(CLIPS, 2):
            for trait in clips[first].keys() & clips[second].keys():
                trait_factor, value = clips[first][trait]
                if trait_factor == factor:
                    shared = {first, second} <= {"anchor", *POSITIVES}
                else:
                    shared = {first, second} == {"anchor", "negative_adversarial"}
                assert (value == clips[second][trait][1]) == shared, (folder.name, first, second, trait)


@pytest.mark.parametrize("factor", FACTORS)
def test_shared_factors_are_identical(drawn: Drawn, factor: str) -> None:
    field = {"harmony": "progression", "timbre": "band"}.get(factor, factor)
    for folder in (folder for folder in drawn("train", FOLDERS) if folder.factor == factor):
        anchor, adversary = folder.scenes["anchor"], folder.scenes["negative_adversarial"]
        for other in ("melody", "rhythm", "band", "progression"):
            assert (getattr(adversary, other) == getattr(anchor, other)) is (other != field)
        for name in POSITIVES:
            positive = folder.scenes[name]
            if factor != "melody":
                assert getattr(positive, field) == getattr(anchor, field)
            elif positive.melody != anchor.melody:
                # The same bars of another setting.
                assert positive.melody.setting != anchor.melody.setting
                assert melody_similarity(positive.melody, anchor.melody) > 0.55


def test_positives_of_melody_use_other_settings_if_there_are_any(drawn: Drawn) -> None:
    settings = [
        {scene.melody.setting for name, scene in folder.scenes.items() if name in ("anchor", *POSITIVES)}
        for folder in drawn("train", FOLDERS)
        if folder.factor == "melody"
    ]
    assert 2 in map(len, settings) and 1 in map(len, settings)


def test_a_folder_has_one_meter_and_mode_and_a_timbre_folder_has_one_layout(drawn: Drawn) -> None:
    places, layouts = Counter[tuple[str, str]](), Counter[int]()
    for folder in drawn("train", FOLDERS):
        scenes = folder.scenes.values()
        found = {(scene.melody.meter, scene.melody.mode) for scene in scenes}
        assert len(found) == 1
        assert {(scene.progression.meter, scene.progression.mode) for scene in scenes} == found
        assert {scene.rhythm.groove.meter for scene in scenes} == {meter for meter, _ in found}
        places += Counter(found)
        if folder.factor == "timbre":
            assert len({scene.band.layout for scene in scenes}) == 1
        else:
            layouts[len({scene.band.layout for scene in scenes})] += 1
        for scene in scenes:
            assert FACTOR_ROLES[folder.factor] & set(scene.band.layout)
    assert set(places) >= set(PLACES)
    assert max(layouts) >= 4


def test_drawing_is_deterministic_and_depends_on_all_arguments(sources: Sources, drawn: Drawn) -> None:
    stock = Stock(sources, Orchestra((), kits=False), "train")
    for folder in drawn("train", 2):
        assert draw_folder(stock, folder.factor, folder.number, seed=3) == folder
        for other in ({"seed": 4}, {"number": folder.number + 100}, {"attempt": 1}):
            arguments = {"number": folder.number, "seed": 3, **other}
            scenes = draw_folder(stock, folder.factor, **arguments).scenes
            assert all(scenes[name].seed != folder.scenes[name].seed for name in CLIPS)
            assert scenes["anchor"].melody != folder.scenes["anchor"].melody


# Nuisance variables -------------------------------------------------------------------------------------------------


def nuisances(scene: Scene, anchor: Scene) -> dict[str, float | str]:
    """Return the nuisance variables relative to the anchor, as numbers and words."""
    effects = scene.effects
    return {
        "key": str((scene.key - anchor.key) % 12),
        "tempo": float(np.log(scene.tempo / anchor.tempo)),
        "offset": scene.offset - anchor.offset,
        "octave": str(scene.octave - anchor.octave),
        "level": scene.level - anchor.level,
        "tilt": effects.tilt_db,
        "low-pass": effects.lowpass or 20_000.0,
        "high-pass": effects.highpass or 0.0,
        "squash": effects.squash,
        "hiss": effects.hiss_db if effects.hiss_db is not None else -90.0,
        "codec": effects.codec or "none",
        "quality": effects.quality,
    }


def differing(first: Table, second: Table) -> set[str]:
    """Return the nuisance variables that have significantly different distributions in two kinds of clip."""
    stats = pytest.importorskip("scipy.stats")
    found = set()
    for name in first[0]:
        left, right = ([row[name] for row in table] for table in (first, second))
        if isinstance(left[0], str):
            values = sorted({*map(str, left), *map(str, right)})
            p = stats.chi2_contingency([[side.count(value) for value in values] for side in (left, right)]).pvalue
        else:
            p = stats.ks_2samp(left, right).pvalue
        if p < 1e-3:
            found.add(name)
    return found


@pytest.fixture(scope="module")
def tables(drawn: Drawn) -> dict[str, Table]:
    """The nuisance variables of positives, neutral and adversarial negatives."""
    kinds = {"positives": POSITIVES, "neutral": ("negative",), "adversarial": ("negative_adversarial",)}
    return {
        kind: [
            nuisances(folder.scenes[name], folder.scenes["anchor"])
            for folder in drawn("train", FOLDERS)
            for name in names
        ]
        for kind, names in kinds.items()
    }


@pytest.mark.parametrize("kind", ["neutral", "adversarial"])
def test_nuisances_of_positives_and_negatives_have_the_same_distribution(tables: dict[str, Table], kind: str) -> None:
    assert differing(tables["positives"], tables[kind]) == set()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("key", lambda value: str((int(value) // 2 * 2) % 12)),
        ("tempo", lambda value: value + 0.05),
        ("offset", lambda value: 0.5 * value),
        ("level", lambda value: value - 4),
        ("octave", lambda value: "0"),
        ("hiss", lambda value: max(value, -60.0)),
        ("codec", lambda value: "none"),
    ],
)  # fmt: skip
def test_a_planted_difference_of_nuisances_is_detected(
    tables: dict[str, Table], name: str, change: Callable[[float | str], float | str]
) -> None:
    planted = [row | {name: change(row[name])} for row in tables["neutral"]]
    assert differing(tables["positives"], planted) == {name}


def test_nuisances_are_within_their_ranges(drawn: Drawn) -> None:
    for folder in drawn("train", FOLDERS):
        anchor = folder.scenes["anchor"]
        assert 70 <= anchor.tempo <= 180
        most = 1.04 if folder.factor == "rhythm" else 1.15
        for scene in folder.scenes.values():
            assert 1 / most <= scene.tempo / anchor.tempo <= most
            assert abs(scene.offset - anchor.offset) <= 2 and scene.offset >= 0
            assert scene.key in range(12) and scene.octave in (-1, 0, 1)
            assert -24 <= scene.level <= -9
        assert len({scene.seed for scene in folder.scenes.values()}) == len(CLIPS)


# The split ----------------------------------------------------------------------------------------------------------


def test_eighty_percent_of_a_set_are_train_folders() -> None:
    assert Counter(map(folder_part, range(1, 201))) == {"train": 160, "validation": 20, "test": 20}
    assert set(map(folder_part, range(1, 7))) == set(SPLIT), "a first trial of six folders has all parts"


@pytest.mark.slow
def test_no_source_is_in_two_parts(drawn: Drawn) -> None:
    used = {}
    for part in SPLIT:
        count = FOLDERS if part == "train" else 6  # other tests draw the train folders too
        scenes = [scene for folder in drawn(part, count) for scene in folder.scenes.values()]
        used[part] = {
            "work": {scene.melody.name for scene in scenes},
            "groove": {scene.rhythm.groove.source for scene in scenes},
            "progression": {scene.progression.name for scene in scenes},
        }
        grooves = used[part]["groove"]
        assert any(name.startswith("drummer") for name in grooves) and any("pattern" in name for name in grooves)
    for part, other in combinations(SPLIT, 2):
        for kind, names in used[part].items():
            assert names and not names & used[other][kind], kind


def test_banks_of_the_test_part_are_not_used_for_training(sources: Sources, tmp_path: Path) -> None:
    try:
        check_fluidsynth()
    except UsageError as error:
        pytest.skip(str(error))
    given = [f"{write_soundfont(tmp_path / f'{name}.sf2', GENERAL_MIDI)}={part}"
             for name, part in (("seen", "train"), ("unseen", "test"))]  # fmt: skip
    orchestra = Orchestra(find_soundfonts(given))
    banks: dict[SplitPart, set[str]] = {}
    for part in SPLIT:
        stock = Stock(sources, orchestra, part)
        bands = [scene.band for number in range(6) for scene in draw_folder(stock, "timbre", number, 0).scenes.values()]
        banks[part] = {sound.bank for band in bands for role in ROLES if (sound := band.sound(role))}
    assert banks["test"] == {"unseen"}
    assert banks["train"] >= {"seen", "voices"} and "unseen" not in banks["train"] | banks["validation"]


# Scarce material ----------------------------------------------------------------------------------------------------


def test_meters_with_too_few_works_for_a_folder_are_not_drawn(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def stock_of(fours: int, nines: int) -> Stock:
        works = {("train", "4/4", "major"): fours, ("train", "9/8", "minor"): nines}
        tunes = load_tunes(write_tunes(tmp_path / f"{fours} {nines}", works))
        return Stock(replace(sources, tunes=tunes), Orchestra((), kits=False), "train")

    for works, meters in ((7, {"9/8"}), (8, {"4/4", "9/8"})):
        stock = stock_of(works, 8)
        assert {stock.meter_and_mode(np.random.default_rng(seed))[0] for seed in range(60)} == meters
        assert draw_folder(stock, "melody", 1, 0).scenes["anchor"].melody.meter in meters
    with pytest.raises(UsageError, match="too few tunes for the train part: it has 7 in one meter and mode, expected"):
        stock_of(7, 2)


def test_if_all_sounds_are_used_that_of_the_first_band_is_not_repeated(sources: Sources) -> None:
    stock, rng = Stock(sources, Orchestra((), kits=False), "train"), np.random.default_rng(0)
    pool = stock.orchestra.pool("drums", "train")
    bands: list[Band] = []
    for _ in range(3 * len(pool)):
        bands.append(stock.band(rng, ("drums",), bands))
    kits = [band.drums for band in bands]
    assert len(set(kits[: len(pool)])) == len(pool)
    assert kits[0] not in kits[1:]
