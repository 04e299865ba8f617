"""`soundalike models install mfcc`: a model without weights, so nothing is asked and nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from json_schemas import schema_of
from soundalike.cli.main import main
from soundalike.demo import load_clips

SOME = [clip for number, clip in enumerate(load_clips()) if number in (0, 13, 26)]
"""Three clips that differ in tune, groove and instruments."""


def test_the_baseline_is_installed_used_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("soundalike.models.installed.data_folder", lambda: tmp_path / "data")
    monkeypatch.setattr("soundalike.demo.load_clips", lambda: SOME)
    assert main(["models", "install", "mfcc", "--backbone", "x"]) == 2
    assert capsys.readouterr().err == "soundalike: mfcc needs no weights; leave out --backbone\n"
    assert main(["models", "install", "mfcc", "--json"]) == 0  # without --yes
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    jsonschema.validate(record, schema_of("models-install"), jsonschema.Draft202012Validator)
    assert (record["backbone"], record["heads"], record["spaces"]) == (None, None, ["overall"])
    assert "Licence" not in printed.err
    library = tmp_path / "library"
    files = [str(clip.path) for clip in SOME]
    assert main(["index", *files, "--model", "mfcc", "--library", str(library), "--jobs", "1"]) == 0
    capsys.readouterr()
    assert main(["search", files[1], "--library", str(library), "--json"]) == 0
    matches = json.loads(capsys.readouterr().out)["matches"]
    assert {match["path"] for match in matches} == {files[0], files[2]}
    assert main(["models", "remove", "mfcc"]) == 0
    assert not (tmp_path / "data" / "models" / "mfcc").exists()
