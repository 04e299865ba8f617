"""The audit of a rendered set, as a user runs it: its tables, what it finds that was tampered with, its page."""

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
    """Two folders of every factor; not to be changed."""
    assert main(["render", "-o", str(place.folder / "set"), *SHORT, *place.options, "--json"]) == 0
    return place.folder / "set"


@pytest.fixture(scope="module")
def in_flac(place: Place) -> Path:
    """Two melody folders of FLAC files; not to be changed."""
    more = ("--factors", "melody", "--format", "flac", "--json")
    assert main(["render", "-o", str(place.folder / "flac"), *SHORT, *place.options, *more]) == 0
    return place.folder / "flac"


def audit(run: Callable[..., Outcome], folder: Path, *more: object) -> dict[str, dict]:
    """The reports by title; numbers as the user's programs get them."""
    found = run("evaluate", "render", folder, "--folders", 2, "--json", *more)
    assert (found.code, found.err) == (0, "")
    return {report["title"]: report for report in json.loads(found.out)["reports"]}


def cell(report: dict, row: str, column: str) -> float:
    return report["values"][report["rows"].index(row)][report["columns"].index(column)]


TRUTH = "Rendered clips against the truth beside them"
CUES = "Rendered triplets: can trivial cues tell positives from negatives? (AUC)"


def test_the_tables_tell_what_was_heard_and_the_page_shows_it(
    run: Callable[..., Outcome], rendered: Path, place: Place
) -> None:
    page = place.folder / "page"
    reports = audit(run, rendered, "--page", page, "--shown", 1)
    of = {factor: f"Rendered {factor} folders, heard: how alike the anchor and ..." for factor in FACTORS}
    assert list(reports) == [*of.values(), TRUTH, CUES]
    for title in of.values():
        assert reports[title]["rows"] == ["positive", "negative", "adversarial negative", "random pair"]
        assert reports[title]["columns"] == list(FACTORS)
    assert reports[TRUTH]["rows"] == reports[CUES]["columns"] == list(FACTORS)
    assert reports[CUES]["n"] == [[12] * 4] * 4
    for report in reports.values():
        shape = (len(report["rows"]), len(report["columns"]))
        values, low, high = (np.array(report[key], dtype=float) for key in ("values", "low", "high"))
        assert values.shape == low.shape == high.shape == np.shape(report["n"]) == shape
        told = np.isfinite(low)
        assert ((values[told] >= 0) & (values[told] <= 1)).all()
        assert (low[told] <= values[told] + 1e-9).all() and (values[told] <= high[told] + 1e-9).all()
    for factor in FACTORS:
        assert cell(reports[TRUTH], factor, "same bits") == 1.0
        assert cell(reports[TRUTH], factor, "mute parts") == 0.0
        assert cell(reports[TRUTH], factor, "level kept") == 1.0
    melody = reports[of["melody"]]
    assert cell(melody, "positive", "melody") > 0.6 > 0.5 > cell(melody, "adversarial negative", "melody")
    check_page(page, rendered)


def check_page(page: Path, rendered: Path) -> None:
    """All that the page refers to is there, and it shows the first folder of every factor."""
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


def test_a_set_that_was_tampered_with_is_found_out(run: Callable[..., Outcome], in_flac: Path, place: Place) -> None:
    """Beside two folders that were rendered, many of noise, so that the cues have something to go by."""
    out = place.folder / "tampered"
    shutil.copytree(in_flac, out)
    rng = np.random.default_rng(0)
    for number in range(3, 31):
        folder = out / "melody" / f"triplets_{number}"
        shutil.copytree(out / "melody" / "triplets_1", folder)
        for name in CLIPS:
            noise = rng.standard_normal(4 * RATE) * 10 ** (rng.uniform(-40, -30) / 20)
            sf.write(folder / "triplet" / f"{name}.flac", noise, RATE, "PCM_16")
    honest = audit(run, out)
    assert cell(honest[TRUTH], "melody", "same bits") == 1.0
    assert honest[CUES]["n"] == [[30 * 6]] * 4
    for name in ("negative", "negative_adversarial"):
        for path in out.glob(f"melody/*/triplet/{name}.flac"):
            sf.write(path, 0.25 * sf.read(path)[0], RATE, "PCM_16")
    planted = audit(run, out)
    assert cell(planted[TRUTH], "melody", "same bits") == 12 / 16
    for row in ("negative, by its sound", "adversarial negative, by its sound"):
        assert cell(honest[CUES], row, "melody") < 0.7
        assert cell(planted[CUES], row, "melody") > 0.9
    # What is heard is played again from the seed, so that it does not change.
    title = next(iter(honest))
    assert planted[title] == honest[title]


def test_flac_that_was_cut_short_is_made_again(run: Callable[..., Outcome], in_flac: Path, place: Place) -> None:
    out = place.folder / "cut"
    shutil.copytree(in_flac, out)
    cut_short(out / "melody" / "triplets_1" / "triplet" / "anchor.flac")
    one = run("evaluate", "render", out)
    assert (one.code, one.out) == (2, "") and "positives were found in 1 folders" in one.err
    more = ("--factors", "melody", "--format", "flac", "--json")
    report = json.loads(run("render", "-o", out, *SHORT, *place.options, *more).out)
    assert (report["kept"], report["repaired"]) == (1, 1)
    assert contents(out) == contents(in_flac)


def test_what_cannot_be_audited_is_said_in_a_line(
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
        ({}, "holds no whole folder; render some with: soundalike render"),
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
