"""Commands on objects of a real S3 server: rclone, over HTTP, with s3fs."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from library_contents import contents

from soundalike.cli.main import main
from soundalike.core.files import absolute
from soundalike.core.object_stores import list_objects

pytest.importorskip("s3fs", reason="s3fs is not installed")

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "long-secret"}
Run = Callable[..., str]


@dataclass
class Server:
    """A server, and the folder whose folders are its buckets."""

    address: str
    folder: Path
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    rclone = shutil.which("rclone", path=sysconfig.get_path("scripts"))
    if rclone is None:
        pytest.skip("rclone is not installed")
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket" / "music").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    keys = ",".join(KEYS.values())
    command = [rclone, "serve", "s3", "--addr", address, "--auth-key", keys, "--dir-cache-time", "1ms", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        for _ in range(200):
            try:
                socket.create_connection(tuple(address.split(":")), timeout=1).close()  # type: ignore[arg-type]
                break
            except OSError:
                time.sleep(0.05)
        yield Server(address, folder, process)
        process.kill()


@pytest.fixture
def run(
    server: Server, made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run a command with two recordings in the bucket; returns what it prints, or its message if it fails."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://{server.address}"}.items():
        monkeypatch.setenv(name, value)
    for name in ("a", "b"):
        shutil.copy(made(f"local/{name}.wav", seconds=3, seed=ord(name)), server.folder / "bucket" / "music")

    def run(*command: object, fails: int = 0) -> str:
        assert main([str(part) for part in command]) == fails
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return err.strip() if fails else out.strip()

    yield run
    for folder in (server.folder / "bucket").iterdir():
        if folder.name != "music":
            shutil.rmtree(folder)


def test_a_library_of_objects_goes_to_the_store_and_back(run: Run, server: Server, tmp_path: Path) -> None:
    run("index", "s3://bucket/music", "--library", tmp_path / "one", "--model", "dsp")
    said = run("library", "export", "s3://bucket/kept/library", "--library", tmp_path / "one")
    assert said == "2 tracks, 2 passages written: s3://bucket/kept/library"
    stored = {file.name for file in (server.folder / "bucket/kept/library").iterdir()}
    assert stored == {"library.json", "tracks.parquet", "passages.parquet", "failures.parquet"}
    assert run("library", "import", "s3://bucket/kept/library", "--library", tmp_path / "two").startswith("2 tracks")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    found = json.loads(run("search", "s3://bucket/music/a.wav", "--library", tmp_path / "two", "--json"))
    assert [match["path"] for match in found["matches"]] == ["/s3:/bucket/music/b.wav"]
    assert "something is there; give a new name" in run(
        "library", "export", "s3://bucket/kept/library", "--library", tmp_path / "one", fails=2
    )


def test_vectors_are_those_of_local_files(run: Run, server: Server, tmp_path: Path) -> None:
    objects = ["s3://bucket/music/a.wav", "s3://bucket/music/b.wav"]
    files = [tmp_path / "local/a.wav", tmp_path / "local/b.wav"]
    assert (
        run("embed", *objects, "-o", "s3://bucket/out/v.npz", "--model", "dsp")
        == "2 rows of 2 recordings written: s3://bucket/out/v.npz"
    )
    run("embed", *files, "-o", tmp_path / "v.npz", "--model", "dsp")
    with np.load(server.folder / "bucket/out/v.npz") as stored, np.load(tmp_path / "v.npz") as local:
        assert stored["path"].tolist() == objects
        assert all(np.array_equal(stored[name], local[name]) for name in ("start", "end", "melody", "timbre"))


def test_stems_go_to_the_store(run: Run, server: Server, tmp_path: Path) -> None:
    song = shutil.copy(tmp_path / "local/a.wav", tmp_path / "song.wav")
    (tmp_path / "stems").mkdir()
    shutil.copy(tmp_path / "local/b.wav", tmp_path / "stems" / "vocals.wav")
    command = ["separate", song, "--with", "given", "--stem", "vocals", "--json", "-o"]
    found = json.loads(run(*command, "s3://bucket/stems"))
    assert found["recordings"][0]["stems"] == {"vocals": "s3://bucket/stems/song/vocals.flac"}
    run(*command, tmp_path / "out")
    stored = server.folder / "bucket/stems/song/vocals.flac"
    assert stored.read_bytes() == (tmp_path / "out/song/vocals.flac").read_bytes()


def test_listings_are_those_of_now(run: Run, server: Server) -> None:
    names = ["a.wav", "b.wav", "c.wav"]
    assert [one.path.name for one in list_objects(absolute(Path("s3://bucket/music")))] == names[:2]
    new = shutil.copy(server.folder / "bucket/music/a.wav", server.folder / "bucket/music/c.wav")
    try:
        assert [one.path.name for one in list_objects(absolute(Path("s3://bucket/music")))] == names
    finally:
        Path(new).unlink()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("index s3://bucket/none --library {}", "/s3:/bucket/none: nothing is there"),
        ("library import s3://bucket/music --library {}", "s3://bucket/music holds no exported library"),
        ("embed s3://bucket/music/a.wav -o s3://none/v.npz", "s3://none/v.npz cannot be written: "),
        ("index tests --library s3://bucket/library", "cannot make a library at s3://bucket/library: libraries are on"),
    ],
)
def test_what_cannot_be_done_is_one_line(run: Run, command: str, message: str, tmp_path: Path) -> None:
    assert (
        run(*command.format(tmp_path / "library").split(), fails=2)
        .splitlines()[-1]
        .startswith(f"soundalike: {message}")
    )


def test_wrong_keys_are_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    line = run("index", "s3://bucket/music", "--library", tmp_path / "library", fails=2)
    assert "\n" not in line and "/s3:/bucket/music: cannot be listed: " in line and "signature" in line
    s3fs.S3FileSystem.clear_instance_cache()
