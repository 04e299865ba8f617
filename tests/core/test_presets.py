"""Presets in the file of settings: what is written is read again, and the rest of the file stays."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from soundalike.core.errors import UsageError
from soundalike.core.presets import Preset, parse_presets, read_presets, save_preset

MINE = Preset("melody=0.4,drums.rhythm=1", 'ridge on 332 "judged" triplets, 71 % right')


@pytest.mark.parametrize(
    "before",
    [
        "",
        "library = '~/music' # mine\n",
        "# top\n[presets] # all\nold = 'rhythm=1' # keep\n\n[other]\nx = 1\n",
        "[presets]\n",
        "[presets.a]\nweights = 'rhythm=1'\n",
    ],
)
def test_a_preset_is_added_and_the_rest_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "folder" / "config.toml"
    path.parent.mkdir()
    path.write_text(before)
    save_preset(path, "mine", MINE)
    text = path.read_text()
    assert all(line in text.splitlines() for line in before.splitlines())
    found = tomllib.loads(text)
    assert found["presets"].pop("mine") == {"weights": MINE.weights, "summary": MINE.summary}
    kept = tomllib.loads(before)
    assert {"presets": {}, **found} == {"presets": {}, **kept}
    assert read_presets(path)["mine"] == MINE


def test_a_preset_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert read_presets(path) == {}
    save_preset(path, "mine", MINE)
    save_preset(path, "größe", Preset("timbre=1"))
    with pytest.raises(UsageError, match="config.toml has a preset mine; choose another name, or give --replace"):
        save_preset(path, "mine", Preset("rhythm=1"))
    save_preset(path, "mine", Preset("rhythm=1"), replace=True)
    save_preset(path, "größe", Preset("timbre=2"), replace=True)
    assert read_presets(path) == {"mine": Preset("rhythm=1"), "größe": Preset("timbre=2")}


def test_a_table_in_one_line_is_left_alone(tmp_path: Path) -> None:
    content = "presets = {a = 'rhythm=1'}\n"
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"not a table \[presets\] with one line each; add to them: mine = \{ weights"):
        save_preset(path, "mine", MINE)
    assert path.read_text() == content


def test_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    with pytest.raises(UsageError, match="'a b' has a name with =, a comma or a space"):
        save_preset(path, "a b", MINE)
    assert not path.exists()
    path.write_text("[presets")
    with pytest.raises(UsageError, match="not a TOML file"):
        save_preset(path, "mine", MINE)
    for value in (3, {"summary": "x"}, {"weights": 3}, {"weights": "a=1", "colour": "red"}, ""):
        with pytest.raises(UsageError, match="presets.x is .*; expected weights"):
            parse_presets(path, {"x": value})
