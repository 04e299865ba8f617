"""A server on this machine that answers as the Hugging Face hub does, for tests of downloads."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0" * 40


def _handler(repositories: Mapping[str, Path], gated: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            repository, _, name = self.path.lstrip("/").partition("/resolve/main/")
            if repository == gated:
                return self._refuse(403, "GatedRepo")
            if repository not in repositories:
                return self._refuse(404, "RepoNotFound")
            file = repositories[repository] / name
            if not file.is_file():
                return self._refuse(404, "EntryNotFound")
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def _refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler


@contextmanager
def serve_hub(
    repositories: Mapping[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch, gated: str = "one/gated"
) -> Iterator[None]:
    """Let the hub's client ask this server for the files of `repositories`, and cache them in a folder of its own."""
    constants = pytest.importorskip(
        "huggingface_hub.constants", reason="MERT needs transformers: pip install 'soundalike[mert]'"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repositories, gated))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_hub(f"http://127.0.0.1:{server.server_port}", cache, monkeypatch, constants)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def use_hub(endpoint: str, cache: Path, monkeypatch: pytest.MonkeyPatch, constants: object) -> None:
    """Let the hub's client ask another server."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
