"""The probes on labelled recordings, from trees in the published layouts to reports, and what bad folders give."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from probe_trees import STEMS, TREES, tone
from safetensors.numpy import load_file, save_file

from conftest import RATE, write
from soundalike.cli.evaluate import protocol_command
from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import Audio, Item, Report
from soundalike.evaluate.printed import printed_note, printed_tables
from soundalike.evaluate.recordings import encode_items, item_span, mix
from soundalike.models import Model, load_recipe

DATASETS = {"musdb": "musdb18hq", "ballroom": "ballroom", "covers80": "covers80", "jamendo": "jamendo_instruments"}
SPACES = ("melody", "rhythm", "timbre", "harmony")


def evaluate(*arguments: object) -> tuple[Report, ...]:
    """Run a protocol with the model `dsp`, without printing."""
    name, *options = map(str, arguments)
    context = protocol_command(name).make_context(name, [*options, "--model", "dsp", "--jobs", "1"])
    found: tuple[Report, ...] = plugins.load("protocols", name).run(SimpleNamespace(**context.params))
    for report in found:
        assert report.protocol == name and report.model == "dsp"
        assert report.command.startswith(f"soundalike evaluate {name} --data DIR") and "/" not in report.title
        assert report.values.shape == (len(report.rows), len(report.columns))
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = TREES[name](tmp_path_factory.mktemp(name) / "data")
        return made[name]

    return make


def test_stem_classes(tree: Callable[[str], Path]) -> None:
    accuracy, published, distances, precision, difference = evaluate(
        "musdb", "--data", tree("musdb18hq"), "--against", "dsp"
    )
    assert accuracy.rows == SPACES and accuracy.columns == ("all", *STEMS)
    # 12 stems, each with 2 positives of other songs and the 3 other stems of its own song.
    assert accuracy.n[0].tolist() == [72, 18, 18, 18, 18]
    assert accuracy.values[2, 0] == 100, "timbre tells the classes apart"
    assert np.array_equal(accuracy.values, published.values)
    assert distances.columns == ("d_AP", "d_AN", "margin")
    assert distances.values[:, 2] == pytest.approx(distances.values[:, 1] - distances.values[:, 0])
    assert precision.columns == ("all", *STEMS, "mean of labels") and precision.values[2, 0] == 100
    assert not difference.values.any() and difference.title.startswith(
        "Stem classes, negatives same-song, passages, minus"
    )
    assert any("H_tim 78.9" in note for note in accuracy.notes)


def test_a_model_of_one_space_is_compared_with_every_row(tree: Callable[[str], Path], tmp_path: Path) -> None:
    """The other model is a copy of the timbre of `dsp` under the name `overall`."""
    bundled = load_recipe("dsp").weights.parent
    body = json.loads((bundled / "recipe.json").read_text())
    (timbre,) = [space for space in body["spaces"] if space["name"] == "timbre"]
    tensors = load_file(bundled / "weights.safetensors")
    renamed = {name.replace("timbre", "overall"): t for name, t in tensors.items() if name.startswith("timbre")}
    save_file(renamed, tmp_path / "weights.safetensors")
    digest = hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()
    body |= {"name": "one", "weights_sha256": digest, "spaces": [{**timbre, "name": "overall"}]}
    (tmp_path / "recipe.json").write_text(json.dumps(body))
    accuracy, *_, difference = evaluate("musdb", "--data", tree("stem_table"), "--fusion", "--against", tmp_path)
    assert difference.rows == accuracy.rows and "minus one" in difference.title
    assert not difference.values[2].any(), "timbre against itself"
    assert difference.values[:, 0] == pytest.approx(accuracy.values[:, 0] - accuracy.values[2, 0])
    arguments = ["--data", str(tree("stem_table")), "--model", str(tmp_path), "--against", "dsp", "--jobs", "1"]
    context = protocol_command("musdb").make_context("musdb", arguments)
    mirrored = plugins.load("protocols", "musdb").run(SimpleNamespace(**context.params))[-1]
    assert mirrored.rows == tuple(f"overall minus {space}" for space in SPACES)
    assert mirrored.values == pytest.approx(-difference.values[:4])


def test_negatives_of_stem_classes_by_name(tree: Callable[[str], Path]) -> None:
    other, published = (
        evaluate("musdb", "--data", tree("musdb18hq"), "--negatives", name, "--clip", "10s")[0]
        for name in ("other-class", "published")
    )
    assert other.n[0, 0] == 12 * 2 * 9 and published.n[0, 0] == 12 * 2 * 9
    assert "--negatives published --clip 10s" in published.command
    assert "Ties count 0." in published.notes[0] and "Ties count 0.5." in other.notes[0]


def test_stems_from_a_table(tree: Callable[[str], Path]) -> None:
    accuracy = evaluate("musdb", "--data", tree("stem_table"))[0]
    assert accuracy.n[0, 0] == 8 * 1 * 3 and "8 recordings of 2 songs" in accuracy.title


def test_dances_and_fusions(tree: Callable[[str], Path]) -> None:
    reports = evaluate("ballroom", "--data", tree("ballroom"), "--fusion", "--weights", "published")
    accuracy = reports[0]
    assert "fused scores: weighted mean" in accuracy.rows and "fused vectors: concatenation" in accuracy.rows
    assert "--weights melody=0.4,rhythm=0.4,timbre=0.2" in accuracy.command
    # ChaChaCha 3 x 2 x 10, Rumba 4 x 3 x 10, six dances 2 x 1 x 10.
    assert len(accuracy.columns) == 1 + 8 and accuracy.n[0, 0] == 300
    separate = evaluate("ballroom", "--data", tree("ballroom"), "--rumba", "separate", "--keep-replicas")[0]
    assert len(separate.columns) == 1 + 9 and separate.n[0, 0] == 280  # ChaChaCha 4 x 3 x 10, eight dances 2 x 1 x 10
    assert "--rumba separate --keep-replicas" in separate.command


def test_pairs_of_covers(tree: Callable[[str], Path]) -> None:
    accuracy, *_, profiles = evaluate("covers80", "--data", tree("covers80"), "--fusion", "--weights", "tuned")
    assert accuracy.n[0].tolist() == [4 * 2 * 6] and "of 4 songs" in accuracy.title
    assert any(note.startswith("Tuned weights: ") for note in accuracy.notes)
    assert profiles.rows[:2] == ("Let_It_Be", "Lodi") and len(profiles.rows) == 4
    assert profiles.columns == SPACES and (np.abs(profiles.values) <= 1 + 1e-6).all()
    published = evaluate("covers80", "--data", tree("covers80"), "--negatives", "published")[0]
    assert published.n[0, 0] == 4 * 2 * 7, "the third version is a negative too"
    with pytest.raises(UsageError, match="--weights tuned needs --fusion"):
        evaluate("covers80", "--data", tree("covers80"), "--weights", "tuned")


def test_instruments(tree: Callable[[str], Path]) -> None:
    ours = evaluate("jamendo", "--data", tree("jamendo_instruments"))
    theirs = evaluate("jamendo", "--data", tree("jamendo_instruments"), "--same-artist")
    assert ours[0].columns == ("all", "guitar", "piano", "voice")
    assert ours[3].columns == ("all", "guitar", "piano", "voice", "mean of labels")
    assert ours[3].n[0, -1] == 3
    assert (theirs[3].chance >= ours[3].chance - 1e-9).all(), "tracks of the same artist are easy answers"


# Clips --------------------------------------------------------------------------------------------------------------


def test_the_sum_of_stems_is_the_recording_of_their_sum(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"{n}.wav", tone(200 + 50 * n, 4), subtype="FLOAT") for n in range(2)]
    total = write(tmp_path / "sum.wav", tone(200, 4) + tone(250, 4), subtype="FLOAT")
    items = [Item(parts[0], {"a": parts[0], "b": parts[1]}), Item(total)]
    encoded = encode_items(items, "dsp", jobs=1)
    for rows in encoded.rows.values():
        assert rows[0] == pytest.approx(rows[1], abs=1e-5)
    assert item_span(items[0]).track.endswith("0.wav and 1 more")


def test_a_short_clip_is_filled_up_with_silence(tmp_path: Path) -> None:
    sound = np.concatenate([tone(200, 4), np.zeros(round(8.8 * RATE), np.float32)])
    short, padded = write(tmp_path / "a.wav", tone(200, 4)), write(tmp_path / "b.wav", sound)
    longer = write(tmp_path / "c.wav", np.concatenate([sound, tone(900, 1)]))
    encoded = encode_items([Item(short), Item(padded), Item(longer)], "dsp", "10s", jobs=1)
    plain = Model.load("dsp").encode(padded).track.rows
    for space, rows in encoded.rows.items():
        assert rows[0] == pytest.approx(rows[1], abs=1e-5) and rows[0] == pytest.approx(rows[2], abs=1e-5)
        assert rows[1] == pytest.approx(plain[space][0], abs=1e-5)


def test_stems_are_added_channel_by_channel() -> None:
    mono, stereo = Audio(np.ones((1, 4), np.float32), 8000), Audio(np.full((2, 3), 2, np.float32), 8000)
    assert mix([mono, stereo]).samples.tolist() == [[3, 3, 3, 1]] * 2
    with pytest.raises(AudioError, match="stems at 8000, 9000 Hz with 1 channels; expected one rate"):
        mix([mono, Audio(mono.samples, 9000)])
    with pytest.raises(AudioError, match="with 2, 3 channels"):
        mix([stereo, Audio(np.ones((3, 2), np.float32), 8000)])


# Bad input ----------------------------------------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The only line that a command prints, which ends with code 2."""
    assert main(["evaluate", *map(str, arguments), "--model", "dsp", "--jobs", "1"]) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.strip()]
    assert printed.out == "" and len(lines) == 1, printed.err
    return lines[0]


@pytest.mark.parametrize("name", DATASETS)
def test_bad_folders_give_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist; give a folder with" in refused(capsys, name, "--data", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "expected" in refused(capsys, name, "--data", tmp_path / "empty")
    (tmp_path / "file").write_text("")
    assert "is a file; give a folder with" in refused(capsys, name, "--data", tmp_path / "file")
    write(tmp_path / "other" / "class" / "song" / "a.wav", tone(200, 2))
    assert "expected" in refused(capsys, name, "--data", tmp_path / "other")


@pytest.mark.parametrize("name", DATASETS)
def test_an_unreadable_recording_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = TREES[DATASETS[name]](tmp_path / "data")
    broken = next(file for file in sorted(root.rglob("*")) if file.suffix in (".wav", ".mp3"))
    broken.write_bytes(b"not a recording")
    assert str(broken) in refused(capsys, name, "--data", root)
    assert str(broken) in refused(capsys, name, "--data", root, "--clip", "30s")


def test_labels_without_triplets_give_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stem in STEMS:
        write(tmp_path / "train" / "Only - Song" / f"{stem}.wav", tone(200, 2))
    assert "give no triplets; expected two songs with a label in common" in refused(capsys, "musdb", "--data", tmp_path)


# Printed numbers ----------------------------------------------------------------------------------------------------


def test_printed_tables_are_rectangular_and_in_their_range() -> None:
    tables = printed_tables("merit")
    assert {"triplets", "musdb", "ballroom", "covers80", "profiles", "margins"} <= set(tables)
    for table in tables.values():
        assert table.where and table.what and len(table.values) == len(table.rows)
        assert all(len(row) == len(table.columns) for row in table.values)
        known = [value for row in table.values for value in row if not math.isnan(value)]
        limits = {"%": (0, 100), "": (-1, 2), "0 to 100": (0, 100)}[table.unit]
        assert known and all(limits[0] <= value <= limits[1] for value in known)
    assert printed_note("merit", "ballroom").startswith("Printed in MERIT, table 3: MERT 78.0, H_mel 55.2, H_rhy 88.0")
