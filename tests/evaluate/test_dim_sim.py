"""`soundalike evaluate dim-sim` on a small tree in the layout of the dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from probe_trees import tone

from conftest import write
from soundalike.cli.main import main
from soundalike.core.types import Report, Span
from soundalike.evaluate.base import full_span
from soundalike.evaluate.reports import load_reports
from soundalike.evaluate.section_rows import encode_sections, section_windows
from soundalike.models import Model, extract

COLUMNS = "anchor_id,anchor_start_seconds,song1_id,song1_start_seconds,song2_id,song2_start_seconds,song1_vote"
TRIPLETS = ("low,3,low2,0,high,0,1", "high,0,low,0,high2,3,0", "low2,0,high2,0,low,0,0", "high2,0,low,0,high,0,0.75")
"""The last column is the share of votes for song 1: all but the last triplet have full agreement."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two low sounds with many overtones, two high ones with one, and judgements that agree with the sound."""
    root = tmp_path_factory.mktemp("dim-sim")
    for name, pitch, harmonics in (("low", 110, 20), ("low2", 116, 20), ("high", 880, 1), ("high2", 932, 1)):
        write(root / "audio" / f"{name}.wav", tone(pitch, harmonics, 6.5))
    (root / "clean-dim-sim.csv").write_text("\n".join([COLUMNS, *TRIPLETS]) + "\n")
    return root


def reports(tree: Path, folder: Path, *options: str) -> tuple[Report, ...]:
    arguments = ["evaluate", "dim-sim", "--data", str(tree), "--model", "dsp", "--jobs", "1", *options]
    assert main([*arguments, "--save", str(folder)]) == 0
    (file,) = folder.iterdir()
    assert file.name == "dim-sim-dsp.json"
    return tuple(load_reports(file))


def test_sections() -> None:
    assert section_windows(2.0).tolist() == [[0, 2]] and section_windows(8.99).tolist() == [[0, 3], [3, 6]]
    assert section_windows(9 - 1 / 44100)[-1].tolist() == pytest.approx([6, 9], abs=1e-4)


def test_rows_are_means_of_sections(tree: Path) -> None:
    file = tree / "audio" / "low.wav"
    encoded = encode_sections([full_span(file), Span(str(file), 3.0, 6.0)], "dsp", jobs=1)
    model = Model.load("dsp")
    recording = extract(model.backbones, file, grid=lambda _: np.array([[0.0, 3.0], [3.0, 6.0]]))
    rows = model.project(recording.features)["timbre"]
    found = encoded.rows["timbre"][encoded.positions([full_span(file)])]
    assert found[0] == pytest.approx(rows.mean(axis=0), abs=1e-6)
    excerpt = encoded.rows["timbre"][encoded.positions([Span(str(file), 3.0, 6.0)])]
    assert np.linalg.norm(excerpt) == pytest.approx(1, abs=1e-5)


def test_scores(tree: Path, tmp_path: Path) -> None:
    singles, combinations = reports(tree, tmp_path)
    spaces = ("melody", "rhythm", "timbre", "harmony")
    assert singles.rows == (*spaces, "all") and singles.columns == ("score",)
    assert singles.n.tolist() == [[3]] * 5, "the triplet with less agreement is left out"
    assert singles.values[spaces.index("timbre"), 0] == 100
    assert singles.title == "Dim-sim: 3 triplets of 4 recordings, agreement 90 %"
    assert singles.command == "soundalike evaluate dim-sim --data DIR --model dsp"
    assert len(combinations.rows) == 15 and (np.diff(combinations.values[:, 0]) <= 0).all()
    assert any("multi-input, 384 83.8" in note for note in singles.notes)


def test_excerpts_of_all_triplets(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    picture = tmp_path / "figure3.svg"
    options = ("--agreement", "0.5", "--clip", "excerpt", "--kiviat", str(picture))
    singles, _ = reports(tree, tmp_path / "reports", *options)
    assert singles.n[0, 0] == 4 and "4 triplets of 6 excerpts, agreement 50 %" in singles.title
    assert singles.command.endswith("--data DIR --agreement 0.5 --clip excerpt --model dsp")
    assert all(f"<!-- {name} -->" in picture.read_text() for name in ("melody", "timbre", "dsp"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--table", "nothing.csv"], "nothing.csv cannot be read: No such file or directory; expected clean-dim-sim"),
        (["--kiviat", "a.txt"], "cannot draw a.txt: the name must end in .png, .svg or .pdf"),
    ],
)
def test_bad_input_is_one_line(
    tree: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "dim-sim", "--data", str(tree), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_missing_audio_is_one_line(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.csv"
    table.write_text("\n".join([COLUMNS, TRIPLETS[0].replace("low2", "gone")]) + "\n")
    assert main(["evaluate", "dim-sim", "--data", str(tree), "--table", str(table)]) == 2
    error = capsys.readouterr().err
    assert "lacks 1 of 3 recordings of table.csv: gone" in error and error.count("\n") == 1


def test_commands_have_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    page = capsys.readouterr().out
    assert "dim-sim" in page and "dim_sim" not in page
