"""`soundalike reproduce instrument-weights`: printed numbers beside those of the protocols, and what is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from probe_trees import inst_sim_abx, slakh2100

from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.models.recipes import load_recipe
from soundalike.reproduce.comparison import Comparison
from soundalike.reproduce.instrument_weights import InstrumentWeightStudy, find_listening_data
from soundalike.reproduce.runs import ProtocolRuns
from soundalike.train.common.recipe import space_entry, write_model


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inst_sim_abx(tmp_path_factory.mktemp("abx"), clips=False, sets=12)


@pytest.fixture(scope="module")
def slakh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slakh2100(tmp_path_factory.mktemp("slakh"), seconds=1.2)


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A model `clap` with one space on descriptors; `muq` and stem models are not installed."""
    home, backbone = tmp_path_factory.mktemp("home"), plugins.load("backbones", "dsp")
    calibration = dict(load_recipe("dsp").space("timbre").calibration)
    space = space_entry("overall", backbone, "timbre", "identity", backbone.dims["timbre"], calibration)
    about = {"summary": "x", "licence": "CC0-1.0", "trained_on": [], "seed": 0}
    write_model(home / "models" / "clap", name="clap", spaces=[space], tensors={}, **about)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soundalike.models.installed.data_folder", lambda: home)
        yield


def by_title(tables: list[Comparison], title: str) -> Comparison:
    return next(table for table in tables if table.title.startswith(title))


def test_labels_alone_count_triplets(labels: Path) -> None:
    tables = InstrumentWeightStudy(find_listening_data([labels]), ProtocolRuns(jobs=1)).tables()
    counts = by_title(tables, "Triplets on which votes agree")
    assert [row.name for row in counts.rows][:2] == ["XAB, more than 75 %", "XYC, more than 75 %"]
    assert counts.rows[0].printed[:4] == (115, 112, 106, 105) and math.isnan(counts.rows[2].printed[0])
    assert [one.value for one in counts.rows[0].measured if one] == [0, 0, 0, 0, 0, 12]
    table = by_title(tables, "Table 1, XAB")
    rows = {row.name: row for row in table.rows}
    assert rows["CLAP"].printed == (78.5, 69.8, 64.2, 68.5, 64.3, 71.9)
    assert "No folder was given with Slakh2100" in str(rows["CLAP"].missing)
    assert rows["D-CSN"].missing == "Not public: the number is only printed." and rows["D-CSN"].measured == (None,) * 6
    weights = by_title(tables, "Table 4")
    assert weights.rows[3].printed == (0.32, 0.83, 0.61, 0.27, 0.33, 1.27, 1.64)
    assert all(row.missing for row in weights.rows)


@pytest.mark.slow
def test_measured_numbers_stand_beside_the_printed_ones(labels: Path, slakh: Path) -> None:
    runs = ProtocolRuns(jobs=1)
    tables = InstrumentWeightStudy(find_listening_data([labels, slakh]), runs).tables()
    assert not runs.failed
    cosine = by_title(tables, "Table 1, XAB").rows[0].measured[-1]
    assert cosine and cosine.n == 12
    table = by_title(tables, "Table 2: weighted stems of CLAP")
    rows = {row.name: row for row in table.rows}
    assert rows["6 stems and mix, Slakh"].printed[:4] == (85.4, 3.4, 84.6, 3.4)
    assert all(rows["6 stems and mix, Slakh"].measured[:4])
    assert rows["6 stems and mix, Demucs"].missing == (
        "The model clap-demucs6s is not installed: soundalike models install clap-demucs6s"
    )
    assert rows["cosine of the mix"].printed[:2] == (84.6, 0.0) and rows["cosine of the mix"].measured[0]
    assert all(row.missing for row in by_title(tables, "Table 3").rows)
    report = runs.run(
        "weights", "clap", ["--labels", str(labels), "--slakh", str(slakh)], ["--true-stems", "6"]
    ).report("Weights, question total")
    assert report
    learned = by_title(tables, "Table 4").rows[1]
    expected = report.values[report.rows.index("drums"), :2].mean()
    assert learned.name == "CLAP, 6 stems" and learned.measured[1]
    assert learned.measured[1].value == pytest.approx(expected)
    assert learned.measured[4] is None  # Slakh has no vocals


def test_the_command_writes_json_and_a_page(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "weights.md"
    assert main(["reproduce", "instrument-weights", str(labels), "--json", "-o", str(page)]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["schema"] == "reproduce-instrument-weights/1" and body["failed"] == []
    assert "| Cascade-PAFT | 70.5 |" in page.read_text() and "- Not public" in page.read_text()


def test_mistakes_are_named(labels: Path, tmp_path: Path) -> None:
    for folders, message in (
        ([tmp_path / "none"], "none is not a folder; give the folders of Inst-Sim-ABX and of Slakh2100"),
        ([tmp_path], "is neither Inst-Sim-ABX .* nor Slakh2100: .* holds no tracks"),
        ([labels, labels], "hold the same data; give one of them"),
    ):
        with pytest.raises(UsageError, match=message):
            find_listening_data(folders)
