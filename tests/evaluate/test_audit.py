"""The audit of a rendered set on the command line: its tables, what it detects after manipulation, and its page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile as sf
from test_factory import Outcome, Place, ask, contents, cut_short, own_place

from soundalike.cli.main import main
from soundalike.render.folders.draw import CLIPS
from soundalike.render.score.music import FACTORS

pytest.importorskip("mido", reason="MIDI files are read with mido: pip install 'soundalike[render]'")
pytest.importorskip("mir_eval", reason="the audit's measures need mir_eval: pip install 'soundalike[render]'")

RATE = 22050
SHORT = ("--folders", "2", "--seconds", "4", "--rate", str(RATE))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with own_place(tmp_path_factory.mktemp("place")) as place:
        yield place


@pytest.fixture
def run(place: Place, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    return partial(ask, capsys)


@pytest.fixture(scope="module")
def rendered(place: Place) -> Path:
    """Two folders of every factor; read-only."""
    assert main(["render", "-o", str(place.folder / "set"), *SHORT, *place.options, "--json"]) == 0
    return place.folder / "set"


@pytest.fixture(scope="module")
def in_flac(place: Place) -> Path:
    """Two melody folders of FLAC files; read-only."""
    more = ("--factors", "melody", "--format", "flac", "--json")
    assert main(["render", "-o", str(place.folder / "flac"), *SHORT, *place.options, *more]) == 0
    return place.folder / "flac"


def audit(run: Callable[..., Outcome], folder: Path, *more: object) -> dict[str, dict]:
    """The reports of --json by title."""
    found = run("evaluate", "render", folder, "--folders", 2, "--json", *more)
    assert (found.code, found.err) == (0, "")
    return {report["title"]: report for report in json.loads(found.out)["reports"]}


def cell(report: dict, row: str, column: str) -> float:
    return report["values"][report["rows"].index(row)][report["columns"].index(column)]


GROUND_TRUTH = "Rendered clips compared with their ground truth"
CUES = "Rendered triplets: can trivial cues tell positives from negatives? (AUC)"


@pytest.mark.slow
def test_the_tables_and_the_page_of_a_rendered_set(run: Callable[..., Outcome], rendered: Path, place: Place) -> None:
    page = place.folder / "page"
    reports = audit(run, rendered, "--page", page, "--shown", 1)
    titles = {factor: f"Rendered {factor} folders: similarity of the anchor to other clips" for factor in FACTORS}
    assert list(reports) == [*titles.values(), GROUND_TRUTH, CUES]
    for title in titles.values():
        assert reports[title]["rows"] == ["positive", "negative", "adversarial negative", "random pair"]
        assert reports[title]["columns"] == list(FACTORS)
    assert reports[GROUND_TRUTH]["rows"] == reports[CUES]["columns"] == list(FACTORS)
    assert reports[CUES]["n"] == [[12] * 4] * 4
    for report in reports.values():
        shape = (len(report["rows"]), len(report["columns"]))
        values, low, high = (np.array(report[key], dtype=float) for key in ("values", "low", "high"))
        assert values.shape == low.shape == high.shape == np.shape(report["n"]) == shape
        known = np.isfinite(low)
        assert ((values[known] >= 0) & (values[known] <= 1)).all()
        assert (low[known] <= values[known] + 1e-9).all() and (values[known] <= high[known] + 1e-9).all()
    for factor in FACTORS:
        assert cell(reports[GROUND_TRUTH], factor, "bit-identical") == 1.0
        assert cell(reports[GROUND_TRUTH], factor, "silent parts") == 0.0
        assert cell(reports[GROUND_TRUTH], factor, "levels in range") == 1.0
    melody = reports[titles["melody"]]
    assert cell(melody, "positive", "melody") > 0.6 > 0.5 > cell(melody, "adversarial negative", "melody")
    check_page(page, rendered)


def check_page(page: Path, rendered: Path) -> None:
    """All files that the page refers to exist, and it shows the first folder of every factor."""
    text = (page / "index.html").read_text()
    pictures = re.findall(r'<img [^>]*src="([^"]+)"', text)
    sounds = [(page / unquote(source)).resolve() for source in re.findall(r'<audio [^>]*src="([^"]+)"', text)]
    assert len(pictures) == 2 * len(sounds) == 2 * len(FACTORS) * len(CLIPS)
    assert {path.name for path in page.iterdir()} == {"index.html", *pictures}
    first = {rendered / factor / "triplets_1" / "triplet" / f"{name}.wav" for factor in FACTORS for name in CLIPS}
    assert set(sounds) == first and all(path.is_file() for path in sounds)
    for name in pictures:
        assert (page / name).read_bytes()[:4] in (b"\x89PNG", b"<svg")
    for link in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{link}"' in text


@pytest.mark.slow
def test_manipulated_negatives_are_detected(run: Callable[..., Outcome], in_flac: Path, place: Place) -> None:
    """Two rendered folders, and many folders of noise so that the classifier has enough clips."""
    out = place.folder / "tampered"
    shutil.copytree(in_flac, out)
    rng = np.random.default_rng(0)
    for number in range(3, 31):
        folder = out / "melody" / f"triplets_{number}"
        shutil.copytree(out / "melody" / "triplets_1", folder)
        for name in CLIPS:
            noise = rng.standard_normal(4 * RATE) * 10 ** (rng.uniform(-40, -30) / 20)
            sf.write(folder / "triplet" / f"{name}.flac", noise, RATE, "PCM_16")
    original = audit(run, out)
    assert cell(original[GROUND_TRUTH], "melody", "bit-identical") == 1.0
    assert original[CUES]["n"] == [[30 * 6]] * 4
    for name in ("negative", "negative_adversarial"):
        for path in out.glob(f"melody/*/triplet/{name}.flac"):
            sf.write(path, 0.25 * sf.read(path)[0], RATE, "PCM_16")
    manipulated = audit(run, out)
    assert cell(manipulated[GROUND_TRUTH], "melody", "bit-identical") == 12 / 16
    for row in ("negative, by audio", "adversarial negative, by audio"):
        assert cell(original[CUES], row, "melody") < 0.7
        assert cell(manipulated[CUES], row, "melody") > 0.9
    # The analysis renders the clips again from the seed, so it does not change.
    title = next(iter(original))
    assert manipulated[title] == original[title]


def test_a_truncated_flac_is_rendered_again(run: Callable[..., Outcome], in_flac: Path, place: Place) -> None:
    out = place.folder / "cut"
    shutil.copytree(in_flac, out)
    cut_short(out / "melody" / "triplets_1" / "triplet" / "anchor.flac")
    failed = run("evaluate", "render", out)
    assert (failed.code, failed.out) == (2, "") and "found positives in 1 folders" in failed.err
    more = ("--factors", "melody", "--format", "flac", "--json")
    report = json.loads(run("render", "-o", out, *SHORT, *place.options, *more).out)
    assert (report["kept"], report["repaired"]) == (1, 1)
    assert contents(out) == contents(in_flac)


def test_sets_that_cannot_be_audited_give_one_line(
    run: Callable[..., Outcome], rendered: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(*arguments: object) -> str:
        found = run("evaluate", "render", *arguments)
        assert (found.code, found.out) == (2, "")
        assert found.err.startswith("soundalike: ") and found.err.count("\n") == 1
        return found.err

    assert "does not exist; give a folder with the output of soundalike render" in refusal(place.folder / "none")
    assert "holds no render.json; give the output of soundalike render" in refusal(place.folder / "tunes")
    assert "--folders 1: expected at least 2" in refusal(rendered, "--folders", 1)
    assert "--shown -1: expected at least 0" in refusal(rendered, "--shown", -1)
    copied = place.folder / "copied"
    copied.mkdir()
    record = json.loads((rendered / "render.json").read_bytes())
    for change, message in (
        ({}, "holds no complete folder; render some with: soundalike render"),
        ({"settings": {}}, "is not a record of soundalike render"),
        ({"version": 0}, "was not made with the version of soundalike found here"),
        ({"sources": {"digest": "", "credits": []}}, "was not made with the tunes or grooves found here"),
        ({"sounds": {}}, "was not made with the soundfonts or kits found here"),
    ):
        (copied / "render.json").write_text(json.dumps(record | change))
        assert message in refusal(copied)
    (copied / "render.json").write_text("[]")
    assert "is not a record of soundalike render" in refusal(copied)
    monkeypatch.chdir(place.folder)
    assert "does not exist" in refusal("nowhere")
