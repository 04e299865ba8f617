"""`soundalike reproduce merit`: the numbers of the protocols beside the printed ones, and what is missing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from probe_trees import TREES, tone

from conftest import write
from soundalike.cli.evaluate import protocol_command
from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Report
from soundalike.models.recipes import load_recipe
from soundalike.reproduce.comparison import Comparison, comparison_lines, markdown_page, measurement_in
from soundalike.reproduce.merit import MeritStudy, find_data
from soundalike.reproduce.runs import ProtocolRuns
from soundalike.train.common.recipe import space_entry, write_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stems, covers, and triplet folders with three positives."""
    root = tmp_path_factory.mktemp("reproduce")
    TREES["musdb18hq"](root / "musdb")
    TREES["covers80"](root / "covers")
    for number in (1, 2):
        place = root / "triplets" / "timbre" / f"triplets_{number}" / "triplet"
        for name, harmonics in (("anchor", 1), *((f"positive_0{n}", 1) for n in (1, 2, 3)), ("negative", 12)):
            write(place / f"{name}.wav", tone(220 * number + 20 * len(name) + ord(name[-1]), harmonics))
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed models: `merit`, with three random heads on descriptors, and `mert`, without a head."""
    home = tmp_path_factory.mktemp("home")
    backbone, random = plugins.load("backbones", "dsp"), np.random.default_rng(0)
    calibration = dict(load_recipe("dsp").space("melody").calibration)
    tensors, spaces = {}, []
    for name in ("melody", "rhythm", "timbre"):
        size = backbone.dims[name]
        tensors |= {
            f"{name}.hidden.weight": random.standard_normal((32, size)).astype(np.float32) / size,
            f"{name}.hidden.bias": random.standard_normal(32).astype(np.float32) / size,
            f"{name}.out.weight": random.standard_normal((16, 32)).astype(np.float32),
        }
        spaces.append(space_entry(name, backbone, name, "mlp", 16, calibration))
    about = {"summary": "random", "licence": "CC0-1.0", "trained_on": [], "seed": 0}
    write_model(home / "models" / "merit", name="merit", spaces=spaces, tensors=tensors, **about)
    overall = space_entry("overall", backbone, "timbre", "identity", backbone.dims["timbre"], calibration)
    write_model(home / "models" / "mert", name="mert", spaces=[overall], tensors=tensors, **about)
    return home


@pytest.fixture(scope="module", autouse=True)
def installed(models: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soundalike.models.installed.data_folder", lambda: models)
        yield


def evaluate(name: str, *options: object) -> tuple[Report, ...]:
    """Run a protocol without printing."""
    context = protocol_command(name).make_context(name, [*map(str, options), "--jobs", "1"])
    found: tuple[Report, ...] = plugins.load("protocols", name).run(SimpleNamespace(**context.params))
    return found


def by_title(tables: list[Comparison], title: str) -> Comparison:
    return next(table for table in tables if table.title.startswith(title))


@pytest.fixture(scope="module")
def tables(data: Path, installed: None) -> list[Comparison]:
    folders = find_data([data / "musdb", data / "covers", data / "triplets"])
    return MeritStudy(folders, ProtocolRuns(jobs=1)).tables()


def test_measured_numbers_are_those_of_the_protocols(data: Path, tables: list[Comparison]) -> None:
    probes = by_title(tables, "Table 3: probes, triplets drawn as in MERIT's code")
    assert probes.columns == ("MUSDB18-HQ (timbre)", "Ballroom (rhythm)", "Covers80 (covers)")
    as_code = ("--negatives", "published", "--clip", "30s")
    heads = evaluate("musdb", "--data", data / "musdb", "--model", "merit", *as_code)[1]
    raw = evaluate("covers80", "--data", data / "covers", "--model", "mert", *as_code)[1]
    rows = {row.name: row for row in probes.rows}
    assert repr(rows["H_tim"].measured[0]) == repr(measurement_in(heads, "timbre", "all"))  # nan is not equal to nan
    assert rows["H_tim"].printed == (78.9, 67.2, 61.3) and rows["H_rhy"].printed == (63.1, 88.0, 69.9)
    assert repr(rows["MERT"].measured[2]) == repr(measurement_in(raw, "overall", "all"))
    assert rows["MERT"].measured[1] is None and "No folder was given with Ballroom" in str(rows["MERT"].missing)
    assert rows["CLAP"].measured[0] is None
    assert rows["CLAP"].missing == "The model clap is not installed: soundalike models install clap"

    triplets = by_title(tables, "Table 2").rows
    assert [row.name for row in triplets] == ["MERT", "CLAP", "H_mel", "H_rhy", "H_tim"]
    assert triplets[4].printed == (55.3, 69.5, 99.6)
    measured = triplets[4].measured[2]
    # Two folders with three positives: k squared triplets each.
    assert measured and measured.n == 18
    *_, distances = evaluate("triplets", data / "triplets", "--model", "merit", "--all-anchors")
    rhythm = by_title(tables, "Section 4.4: mean distances").rows[3]
    assert rhythm.printed[:2] == (0.667, 0.628) and all(map(math.isnan, rhythm.printed[2:]))
    columns = ("timbre, d_AP", "timbre, d_AN")
    expected = tuple(measurement_in(distances, "rhythm", column) for column in columns)
    assert repr(rhythm.measured[4:]) == repr(expected)
    margin = by_title(tables, "Section 4.4: margins").rows[3].measured[2]
    near, far = rhythm.measured[4:]
    assert margin and near and far and margin.value == pytest.approx(far.value - near.value)


def test_figures(data: Path, tables: list[Comparison]) -> None:
    fusion = by_title(tables, "Figure 3")
    rows = {row.name: row for row in fusion.rows}
    assert list(rows) == [
        "mean", "weighted mean, .4 .4 .2", "weighted mean, tuned on Covers80", "product", "concatenation",
        "best single head",
    ]  # fmt: skip
    assert rows["concatenation"].printed[2] == 69.5
    assert rows["best single head"].printed == (78.9, 88.0, 69.9)
    probes = {row.name: row.measured for row in by_title(tables, "Table 3").rows}
    best = max(one.value for head in ("H_mel", "H_rhy", "H_tim") if (one := probes[head][0]))
    measured = rows["best single head"].measured[0]
    assert measured and measured.value == best
    tuned, fixed = (rows[f"weighted mean, {name}"].measured[2] for name in ("tuned on Covers80", ".4 .4 .2"))
    assert tuned and fixed and tuned.n == fixed.n
    assert all(row.measured[1] is None for row in fusion.rows)

    layers = by_title(tables, "Figure 5")
    assert [row.name for row in layers.rows] == ["H_mel", "H_rhy", "H_tim"]
    for row in layers.rows:
        assert sum(one.value for one in row.measured if one) == pytest.approx(100)
    classes = by_title(tables, "Section 4.6: stem classes")
    assert set(classes.columns) == {"bass", "drums", "other", "vocals"}
    timbre = classes.rows[-1]
    assert (timbre.printed[classes.columns.index("drums")], timbre.printed[classes.columns.index("vocals")]) == (
        90.7,
        70.1,
    )


def test_the_page_and_the_terminal_show_both_numbers(tables: list[Comparison]) -> None:
    table = by_title(tables, "Table 3")
    header, *lines = comparison_lines(table)
    assert header[:3] == ["", "MUSDB18-HQ (timbre) (%), printed", "measured"]
    assert lines[0][1] == "79.8" and lines[0][2].endswith("n = 216")
    assert lines[1][2] == "missing"
    page = markdown_page("MERIT", "Introduction.", tables)
    assert "| H_tim | 78.9 |" in page and "- The model clap is not installed" in page
    assert "    soundalike evaluate musdb --data DIR --negatives published --clip 30s" in page


def test_the_command_writes_a_page_and_json(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["reproduce", "merit", str(data / "musdb"), "--also", "dsp", "--jobs", "1"]
    assert main([*given, "--json", "-o", str(tmp_path / "merit.md")]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["schema"] == "reproduce-merit/1" and body["failed"] == []
    table = next(one for one in body["tables"] if one["title"].startswith("Table 3"))
    assert [row["name"] for row in table["rows"]][-4:] == [
        f"dsp, {name}" for name in ("melody", "rhythm", "timbre", "harmony")
    ]
    assert table["rows"][-1]["numbers"][0]["printed"] is None and table["rows"][-1]["numbers"][0]["n"] == 216
    assert "| dsp, timbre | - |" in (tmp_path / "merit.md").read_text()


def test_a_run_that_fails_does_not_end_the_others(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TREES["musdb18hq"](tmp_path / "musdb")
    next((tmp_path / "musdb").rglob("bass.wav")).write_bytes(b"no audio")
    folders = [str(tmp_path / "musdb"), str(data / "triplets")]
    assert main(["reproduce", "merit", *folders, "--jobs", "1"]) == 1
    out, messages = capsys.readouterr()
    assert "Failed: musdb with merit" in " ".join(out.split()) and "bass.wav" in messages
    assert main(["reproduce", "merit", folders[0], "--jobs", "1"]) == 2


def without_a_stem(data: Path, empty: Path) -> Path:
    shutil.copytree(data / "musdb", empty / "musdb")
    (empty / "musdb" / "train" / "Cat - One" / "bass.wav").unlink()
    return empty / "musdb"


MISTAKES: list[tuple[Callable[[Path, Path], list[Path]], str]] = [
    (lambda data, empty: [data / "nowhere"], "nowhere is not a folder"),
    (lambda data, empty: [empty], "holds none of the data of the paper, or not all .* triplet folders of MERIT"),
    (lambda data, empty: [without_a_stem(data, empty)], "MUSDB18-HQ.* lacks train/Cat - One/bass.wav"),
    (lambda data, empty: [data / "musdb", data / "musdb"], "both hold MUSDB18-HQ; give one of them"),
]


@pytest.mark.parametrize(("folders", "message"), MISTAKES)
def test_mistakes_are_named(
    data: Path, tmp_path: Path, folders: Callable[[Path, Path], list[Path]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        find_data(folders(data, tmp_path))
