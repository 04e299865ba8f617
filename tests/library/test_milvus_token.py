"""A Milvus server that asks for a token. It has a module of its own, because two servers cannot run at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from library_contents import contents

from milvus_servers import running
from soundalike.cli.main import main
from soundalike.library.stores.milvus_server import TOKEN


@pytest.mark.slow
def test_a_server_may_ask_for_a_token(
    stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TOKEN, "root:Milvus")
    with running(tmp_path / "data", "standalone", "--authorization-enabled", "true") as server:
        address = server.address("kept")
        assert main(["library", "push", address, "--library", str(stocked)]) == 0
        assert main(["library", "pull", address, "--library", str(tmp_path / "back")]) == 0
        assert contents(tmp_path / "back") == contents(stocked)
        capsys.readouterr()
        for token in ("root:wrong", ""):
            monkeypatch.setenv(TOKEN, token)
            assert main(["library", "push", address, "--library", str(stocked)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert "set $SOUNDALIKE_MILVUS_TOKEN to user:password" in line
