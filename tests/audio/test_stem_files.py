"""The layouts in which stems lie beside a mix, and the separator that reads them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from conftest import write
from soundalike.audio.separators import find_stems
from soundalike.core import plugins
from soundalike.core.errors import AudioError, SoundalikeWarning

RATE = 44_100


def tone(level: float, seconds: float = 0.2, rate: int = RATE) -> np.ndarray:
    return np.full(round(seconds * rate), level, np.float32)


def put(folder: Path, **levels: float) -> None:
    for name, level in levels.items():
        write(folder / f"{name}.wav", tone(level), RATE)


def musdb(folder: Path) -> Path:
    put(folder, mixture=0.5, vocals=0.1, drums=0.2, bass=0.3, other=0.4)
    return folder / "mixture.wav"


def slakh(folder: Path) -> Path:
    """Six stems: their classes by program, one sung, one that was not rendered."""
    lines = ["UUID: 1", "audio_dir: stems", "stems:"]
    entries = [("false", 0, "Piano"), ("true", 128, "Drums"), ("false", 33, "Bass"), ("false", 27, "Guitar"),
               ("false", 48, "Strings"), ("false", 53, "Vocals"), ("false", 1, "Piano")]  # fmt: skip
    for number, (drum, program, kind) in enumerate(entries):
        lines += [f"  S{number:02}:", f"    audio_rendered: {str(number < 6).lower()}", f"    inst_class: {kind}",
                  f"    is_drum: {drum}", f"    program_num: {program}"]  # fmt: skip
        if number < 6:
            write(folder / "stems" / f"S{number:02}.flac", tone(0.1), RATE)
    (folder / "metadata.yaml").write_text("\n".join(lines) + "\n")
    return write(folder / "mix.flac", tone(0.6), RATE)


def moises(folder: Path) -> Path:
    kinds = ("vocals", "drums", "bass", "guitar", "piano", "wind", "percussion")
    stems = [{"stemName": kind, "tracks": [{"id": f"{kind}-1", "extension": "wav"}]} for kind in kinds]
    for kind in kinds:
        write(folder / kind / f"{kind}-1.wav", tone(0.1), RATE)
    (folder / "data.json").write_text(json.dumps({"song": "A", "stems": stems}))
    return folder


def medley(folder: Path) -> Path:
    instruments = ("drum set", "electric bass", "clean electric guitar", "piano", "female singer", "tuba")
    lines = ["album: X", "stems:"]
    for number, instrument in enumerate(instruments, start=1):
        name = f"A_Song_STEM_{number:02}.wav"
        lines += [f"  S{number:02}:", "    component: ''", f"    filename: {name}", f"    instrument: {instrument}",
                  "    raw:", "      R01:", "        filename: A_RAW.wav", "        instrument: kazoo"]  # fmt: skip
        write(folder / "A_Song_STEMS" / name, tone(0.1), RATE)
    (folder / "A_Song_METADATA.yaml").write_text("\n".join(lines) + "\n")
    return write(folder / "A_Song_MIX.wav", tone(0.6), RATE)


def plain(folder: Path) -> Path:
    put(folder / "stems", **{"Vox 1": 0.1, "vocals_2": 0.1, "Drums": 0.1, "Kazoo": 0.1})
    return write(folder / "song.wav", tone(0.4), RATE)


def named(folder: Path) -> Path:
    put(folder / "song", bass=0.1, guitars=0.1)
    return write(folder / "song.wav", tone(0.4), RATE)


LAYOUTS = {
    musdb: {"vocals": 1, "drums": 1, "bass": 1, "other": 1},
    slakh: {"vocals": 1, "drums": 1, "bass": 1, "guitar": 1, "piano": 1, "other": 1},
    moises: {"vocals": 1, "drums": 1, "bass": 1, "guitar": 1, "piano": 1, "other": 2},
    medley: {"vocals": 1, "drums": 1, "bass": 1, "guitar": 1, "piano": 1, "other": 1},
    plain: {"vocals": 2, "drums": 1, "other": 1},
    named: {"bass": 1, "guitar": 1},
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_stem_files_are_found_by_class_and_summed(layout, tmp_path: Path) -> None:
    path = layout(tmp_path)
    found = find_stems(path)
    assert {stem: len(files) for stem, files in found.items()} == LAYOUTS[layout]
    assert all(file.is_file() for files in found.values() for file in files)
    stems = separated(path)
    levels = {"vocals": 0.1, "drums": 0.2, "bass": 0.3, "other": 0.4} if layout is musdb else {}
    for stem, count in LAYOUTS[layout].items():
        assert stems[stem] == pytest.approx(levels.get(stem, 0.1 * count), abs=1e-3)
    others = [signal for stem, signal in stems.items() if stem not in ("vocals", "accompaniment")]
    assert stems["accompaniment"] == pytest.approx(np.sum(others, axis=0), abs=1e-6)


def separated(path: Path, **region: float) -> dict[str, np.ndarray]:
    blocks = list(plugins.load("separators", "given").separate(path, **region))
    return {stem: np.concatenate([block[stem] for block in blocks], axis=1) for stem in blocks[0]}


def test_stems_are_padded_cut_and_resampled_to_the_mix(tmp_path: Path) -> None:
    path = write(tmp_path / "mix.wav", np.zeros((RATE, 2), np.float32), RATE)
    write(tmp_path / "stems" / "vocals.wav", tone(0.1, 0.5), RATE)
    write(tmp_path / "stems" / "bass.wav", tone(0.2, 3.0, 22_050), 22_050)
    stems = separated(path)
    assert {signal.shape for signal in stems.values()} == {(2, RATE)}
    assert stems["vocals"][:, : RATE // 2] == pytest.approx(0.1, abs=1e-4)
    assert not stems["vocals"][:, RATE // 2 :].any()
    assert stems["bass"][:, 1000:] == pytest.approx(0.2, abs=1e-3)
    late = separated(path, start=0.6, end=0.9)
    assert not late["vocals"].any()
    assert late["bass"].shape == (2, round(0.3 * RATE))


def test_a_missing_or_broken_stem_file_is_one_line_and_the_rest_is_done(tmp_path: Path) -> None:
    path = slakh(tmp_path)
    (tmp_path / "stems" / "S01.flac").unlink()
    (tmp_path / "stems" / "S02.flac").write_bytes(b"no music")
    with pytest.warns(SoundalikeWarning) as caught:
        stems = separated(path)
    lines = sorted(str(one.message) for one in caught)
    assert len(lines) == 2
    assert "S01.flac" in lines[0] and "S02.flac" in lines[1]
    assert all(line.endswith("what could not be read is left out") and "\n" not in line for line in lines)
    assert not stems["drums"].any() and not stems["bass"].any()
    assert stems["piano"] == pytest.approx(0.1, abs=1e-3)


def test_a_mix_without_stems_is_an_error_that_names_the_layouts(tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", tone(0.1), RATE)
    with pytest.raises(AudioError, match="no stem files; expected MUSDB18-HQ, Slakh2100, MoisesDB, MedleyDB"):
        find_stems(path)
    musdb(tmp_path / "a")
    for file in (tmp_path / "a").glob("*[!e].wav"):
        file.write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SoundalikeWarning)
        with pytest.raises(AudioError, match="none of its stem files can be read"):
            separated(tmp_path / "a" / "mixture.wav")


@pytest.mark.parametrize("text", ["[]", "{", '{"stems": [{"stemName": "bass"}]}', '{"stems": 3}'])
def test_a_broken_list_of_stems_is_an_audio_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(AudioError, match=r"data.json cannot be read .*; expected that of MoisesDB"):
        find_stems(tmp_path)
