"""One contract per plug-in folder, tested for all of its members."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

import numpy as np
import pytest
from tiny_weights import WITHOUT_WEIGHTS, weights_for

from conftest import TUNES, tune, write
from soundalike.audio.stream import windows
from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.core.errors import ModelError, SoundalikeWarning, UsageError
from soundalike.core.types import Item


@pytest.mark.parametrize("folder", plugins.FOLDERS)
def test_an_unknown_member_is_an_error_that_lists_the_known_ones(folder: str) -> None:
    assert plugins.names(folder)
    with pytest.raises(UsageError, match=f"unknown .* 'nope'; known: .*{plugins.names(folder)[0]}"):
        plugins.load(folder, "nope")


def blocks(samples: np.ndarray, size: int = 30_000) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@pytest.fixture(params=plugins.names("backbones"))
def backbone(request: pytest.FixtureRequest, tmp_path: Path):
    """Each backbone in turn."""
    return plugins.load("backbones", request.param, **weights_for(request.param, tmp_path))


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_backbone_without_its_weights_says_how_to_install_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=f"the backbone {name} .*soundalike (models install {name}|train (instruments|concepts))"
    ):
        plugins.load("backbones", name)
    with pytest.raises(ModelError, match="none"):
        plugins.load("backbones", name, weights=tmp_path / "none")


def test_options_that_a_member_does_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the backbone 'dsp' takes no colour, weights; leave it out"):
        plugins.load("backbones", "dsp", weights=tmp_path, colour=1)


SOUNDS = {
    "music": lambda rate: tune(TUNES["up"], seconds=13, rate=rate),
    "short": lambda rate: tune(TUNES["up"], seconds=0.3, rate=rate),
    "noise": lambda rate: np.random.default_rng(0).standard_normal(3 * rate).astype(np.float32),
    "clipped": lambda rate: np.sign(np.sin(np.arange(2 * rate) / 7)).astype(np.float32),
    "faint": lambda rate: 1e-12 * tune(TUNES["up"], seconds=2, rate=rate),
    "silence": lambda rate: np.zeros(2 * rate, np.float32),
    "constant": lambda rate: np.full(2 * rate, 0.7, np.float32),
    "one sample": lambda rate: np.ones(1, np.float32),
    "an impulse": lambda rate: np.eye(1, 2 * rate, rate, dtype=np.float32)[0],
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_features_follow_the_contract(backbone, sound: str) -> None:
    samples = SOUNDS[sound](backbone.rate)
    features = backbone.features(blocks(samples), windows)
    assert features.duration == pytest.approx(len(samples) / backbone.rate)
    assert np.array_equal(features.windows, windows(features.duration))
    assert set(features.rows) == set(features.audible) == set(backbone.dims)
    for name, rows in features.rows.items():
        assert rows.shape == (len(features.windows), backbone.dims[name])
        assert rows.dtype == np.float32
        assert np.isfinite(rows).all()
        assert features.audible[name].dtype == bool
        assert not rows[~features.audible[name]].any()
    if sound in ("silence", "constant", "faint"):
        assert not any(audible.any() for audible in features.audible.values())
        assert features.descriptors.loudness is None
    if sound == "music":
        assert all(audible.all() for audible in features.audible.values())


def test_features_are_deterministic_and_independent_of_the_block_size(backbone) -> None:
    samples = tune(TUNES["leaps"], seconds=17, rate=backbone.rate)
    first, second = backbone.features(blocks(samples), windows), backbone.features(blocks(samples, 777), windows)
    again = backbone.features(blocks(samples), windows)
    for name, rows in first.rows.items():
        assert np.array_equal(rows, again.rows[name])
        assert np.allclose(rows, second.rows[name], atol=1e-6)
    assert first.descriptors == again.descriptors


def test_an_empty_stream_is_an_error_or_has_no_rows(backbone) -> None:
    try:
        features = backbone.features([], lambda duration: np.zeros((0, 2)))
    except ValueError as error:
        assert str(error)
    else:
        assert all(len(rows) == 0 for rows in features.rows.values())


def test_the_folder_dataset_follows_the_contract(tmp_path: Path) -> None:  # the others: tests/evaluate/test_datasets.py
    for file in ("b/2.wav", "b/1.flac", "a.ogg"):
        write(tmp_path / "root" / file, tune(TUNES["up"], seconds=1))
    (tmp_path / "root" / "cover.jpg").write_bytes(b"not music")
    (tmp_path / "root" / "._a.ogg").write_bytes(b"a macOS resource fork")
    dataset = plugins.load("datasets", "folder", root=tmp_path / "root")
    items = list(dataset.items())
    assert all(isinstance(item, Item) for item in items)
    assert [item.path.relative_to(tmp_path / "root").as_posix() for item in items] == ["a.ogg", "b/1.flac", "b/2.wav"]
    assert list(dataset.items()) == items
    with pytest.raises(UsageError, match="not found; give a folder"):
        plugins.load("datasets", "folder", root=tmp_path / "none")


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one module and entry points, for one test."""

    def go(name: str, code: str, group: str = "backbones", **points: str) -> None:
        folder = tmp_path / name
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{name}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nLicense-Expression: MIT\n")
        lines = [f"[soundalike.{group}]", *(f"{point} = {target}" for point, target in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(folder)

    return go


def test_a_member_of_another_distribution_is_loaded(install: Install) -> None:
    install("othermodule", "def create():\n    return 'a backbone from outside'\n", outer="othermodule:create")
    assert "outer" in plugins.names("backbones")
    assert plugins.load("backbones", "outer") == "a backbone from outside"
    assert plugins.licence("backbones", "outer") == "MIT"
    assert plugins.licence("backbones", "dsp") == "Apache-2.0"


def test_an_entry_point_never_replaces_a_bundled_member_and_the_clash_is_reported_once(install: Install) -> None:
    install("grabber", "def create(**_):\n    raise AssertionError\n", dsp="grabber:create", flat="grabber:create")
    with pytest.warns(SoundalikeWarning) as reported:
        assert plugins.names("backbones").count("dsp") == 1
    assert [str(one.message) for one in reported] == [
        "the backbone 'dsp' of grabber 1.0 is left out: soundalike has one of this name"
    ]
    assert "flat" in plugins.names("backbones")  # a store is bundled under this name, not a backbone
    assert plugins.load("backbones", "dsp").rate == 22_050
    assert plugins.licence("backbones", "dsp") == "Apache-2.0"


def test_of_two_entry_points_of_one_name_the_first_counts(install: Install) -> None:
    install("later", "def create():\n    return 'later'\n", shared="later:create")
    install("sooner", "def create():\n    return 'sooner'\n", shared="sooner:create")
    with pytest.warns(SoundalikeWarning, match="'shared' of later 1.0 is left out: sooner 1.0 has one of this name"):
        assert plugins.load("backbones", "shared") == "sooner"


@pytest.mark.parametrize(
    ("code", "target", "why"),
    [
        ("import no_such_module", "broken:create", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def other(): ...", "broken:create", "AttributeError: "),
        ("create = 3", "broken:create", "TypeError: 'int' object is not callable"),
        ("def create():\n    raise ValueError('two\\nlines')", "broken:create", r"ValueError: two\\nlines"),
        ("def create(): ...", "not a target", "AttributeError: "),
    ],
)
def test_a_broken_entry_point_is_one_line_that_names_its_distribution(
    install: Install, code: str, target: str, why: str
) -> None:
    install("broken", code, bad=target)
    with pytest.raises(UsageError, match=f"^the backbone 'bad' of broken 1.0 cannot be loaded .*{why}") as found:
        plugins.load("backbones", "bad")
    assert str(found.value).endswith("; update or uninstall it")
    assert "\n" not in str(found.value)
    assert plugins.load("backbones", "dsp").rate == 22_050
    sys.modules.pop("broken", None)


def test_a_broken_protocol_does_not_hide_the_others(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("broken", "import no_such_module", group="protocols", bad="broken:create")
    assert main(["evaluate", "--help"]) == 0
    page = capsys.readouterr().out
    assert "triplets" in page
    assert "No module named 'no_such_module'" in " ".join(page.split())
    assert main(["evaluate", "bad"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_line_reports_a_clash_in_one_line(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("grabber", "", group="protocols", self="grabber:create")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["list", "protocols"]) == 0
        assert main(["list", "protocols"]) == 0
    assert capsys.readouterr().err == (
        "soundalike: the protocol 'self' of grabber 1.0 is left out: soundalike has one of this name\n"
    )


def test_distributions_are_scanned_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan reads files of every installed distribution, so many look-ups must not repeat it."""
    scans = []

    def count(**query: str) -> EntryPoints:
        scans.append(query)
        return entry_points(**query)

    install("othermodule", "def create():\n    return 1\n", outer="othermodule:create")
    monkeypatch.setattr(plugins, "entry_points", count)
    for _ in range(300):
        plugins.load("backbones", "outer")
        plugins.licence("backbones", "outer")
        plugins.names("backbones")
    assert scans == [{"group": "soundalike.backbones"}]
