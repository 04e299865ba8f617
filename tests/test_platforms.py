"""What Windows and macOS do differently, simulated on Linux; tests of spelling are in tests/core."""

from __future__ import annotations

import ast
import io
import json
import ntpath
import os
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.audio.datasets import folder as folder_dataset
from soundalike.audio.inputs import recording_file
from soundalike.cli.cells import near
from soundalike.cli.output import print_json
from soundalike.core import mapped_arrays, sqlite
from soundalike.core.errors import LibraryError
from soundalike.core.executors import processes
from soundalike.evaluate.audit import page
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.maintenance import vacuum_library
from soundalike.search.query import Query
from soundalike.search.search import search_library

SOURCES = sorted((Path(__file__).parents[1] / "src" / "soundalike").rglob("*.py"))
UNIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "crypt", "spwd"}
UNIX_NAMES = {
    "os": {"posix_fadvise", "sched_getaffinity", "fork", "forkpty", "geteuid", "getuid", "getgid", "killpg", "mkfifo",
           "nice", "setsid", "statvfs", "sysconf", "uname", "wait", "chown", "lchown", "pread", "pwrite",
           "O_DIRECTORY", "O_NOFOLLOW", "getpgid", "getpriority", "initgroups", "sync"},
    "signal": {"SIGPIPE", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "alarm", "setitimer",
               "pthread_sigmask"},
    "socket": {"AF_UNIX"},
}  # fmt: skip


@pytest.fixture(scope="module")
def nodes() -> list[tuple[Path, str, list[ast.AST]]]:
    """Every source file with its text and its syntax tree."""
    texts = [(source, source.read_text(encoding="utf-8")) for source in SOURCES]
    return [(source, text, list(ast.walk(ast.parse(text)))) for source, text in texts]


def test_what_only_unix_has_is_used_only_where_it_exists(nodes) -> None:
    """Modules that Windows lacks are not imported; functions that it lacks are looked for before they are called."""
    faults = []
    for source, text, tree in nodes:
        for node in tree:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
                faults += [f"{source}: {name}" for name in names if name.split(".")[0] in UNIX_MODULES]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, name = node.value.id, node.attr
                if name in UNIX_NAMES.get(module, ()) and f'hasattr({module}, "{name}")' not in text:
                    faults.append(f"{source}: {module}.{name}")
    assert not faults


def test_text_files_have_an_encoding(nodes) -> None:
    """The default is that of the locale: cp1252 on many Windows machines."""
    faults = []
    for source, _, tree in nodes:
        for node in tree:
            if not isinstance(node, ast.Call) or any(word.arg == "encoding" for word in node.keywords):
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "av":  # not a text file
                continue
            modes = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            binary = any("b" in mode for mode in modes)
            if name == "open" and modes and set(modes[-1]) <= set("rwaxt+") and not binary:
                faults.append(f"{source}:{node.lineno}")
            if name in ("read_text", "write_text") and len(node.args) < (1 if name == "read_text" else 2):
                faults.append(f"{source}:{node.lineno}")
    assert not faults


PICKLED = {"ray.py"}
"""Modules that exchange pickles with processes that they started themselves, as Ray does with all arguments."""


def restricted_unpickler(tree: list[ast.AST]) -> bool:
    """Whether all that a module takes from pickle is an Unpickler with a find_class of its own, and its error."""
    used = [one for one in tree if isinstance(one, ast.Attribute) and ast.unparse(one.value) == "pickle"]
    bases = [
        base
        for one in tree
        if isinstance(one, ast.ClassDef) and any(getattr(part, "name", "") == "find_class" for part in one.body)
        for base in one.bases
    ]
    return bool(used) and all(one in bases or one.attr == "UnpicklingError" for one in used)


def test_no_pickle_is_ever_loaded(nodes) -> None:
    """A pickle runs code. numpy and torch load them unless told not to."""
    faults = []
    for source, _, tree in nodes:
        for node in tree:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [one.name for one in node.names]
                if isinstance(node, ast.ImportFrom) and names != ["UnpicklingError"]:
                    names = [node.module or ""]
                forbidden = {"pickle", "shelve", "marshal", "joblib"}
                if source.name in PICKLED or (isinstance(node, ast.Import) and restricted_unpickler(tree)):
                    forbidden -= {"pickle"}
                faults += [f"{source}: {name}" for name in names if name in forbidden]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load", "torch.load"):
                options = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if options.get("allow_pickle") != "False" and options.get("weights_only") != "True":
                    faults.append(f"{source}:{node.lineno}")
    assert not faults


# Paths --------------------------------------------------------------------------------------------------------------


def no_common_root(*_: object) -> str:
    raise ValueError("path is on mount 'D:', start on mount 'C:'")


def test_a_path_on_another_drive_is_shown_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "relpath", no_common_root)
    assert near("D:\\music\\a.wav") == "D:\\music\\a.wav"


def test_a_path_from_a_removed_folder_is_shown_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    assert near("/music/a.wav") == "/music/a.wav"


def test_a_name_that_begins_with_two_dots_is_below_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert near(str(tmp_path / "..rare.wav")) == "..rare.wav"
    assert near(str(tmp_path.parent / "b.wav")) == str(tmp_path.parent / "b.wav")


def test_a_page_on_another_drive_than_its_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = page.ClipFigure("anchor", tmp_path / "a b.wav", "picture", (), ())
    assert 'src="a%20b.wav"' in page._figure(figure, tmp_path)
    monkeypatch.setattr(os.path, "relpath", no_common_root)
    assert f'src="{(tmp_path / "a b.wav").as_uri()}"' in page._figure(figure, tmp_path)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PurePosixPath("/music/a b?.sqlite"), "file:///music/a%20b%3F.sqlite"),
        (PurePosixPath("/m/\udcff#"), "file:///m/%FF%23"),
        (PureWindowsPath("C:\\Music\\é.sqlite"), "file:///C%3A/Music/%C3%A9.sqlite"),
        (PureWindowsPath("\\\\nas\\music\\c.sqlite"), "file:////nas/music/c.sqlite"),  # SQLite refuses file://nas/music
    ],
)
def test_the_uri_of_a_catalogue(path: PurePosixPath | PureWindowsPath, uri: str) -> None:
    assert sqlite._uri(path) == uri


def test_a_track_is_found_in_every_unicode_form(tmp_path: Path, library: LibraryFolder) -> None:
    with LibraryFolder.create(tmp_path / "library") as made:
        track = replace(library.catalog.tracks()[0], id=0)
        nfd, both = (Path("/music", unicodedata.normalize(form, "Björk é.wav")) for form in ("NFD", "NFC"))
        other = Path("/music", "Jo\u0301n.wav")
        with made.catalog.transaction():
            ids = {
                path: made.catalog.put_track(Path("/music"), replace(track, path=path)) for path in (nfd, both, other)
            }
        assert made.catalog.id_at(nfd) == ids[nfd]
        assert made.catalog.id_at(both) == ids[both]  # both exist, and each is found under its own name
        assert made.catalog.id_at(Path("/music/Jón.wav")) == ids[other]
        assert made.catalog.id_at(Path("/music/jón.wav")) is None


def test_folders_of_a_file_system_without_inode_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.wav", "b/2.wav", "b/c/3.wav"):
        write(tmp_path / name, tune(TUNES["up"], seconds=1))
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    real = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        status = real(self, **options)
        return os.stat_result((status.st_mode, 0, *status[2:]))

    monkeypatch.setattr(Path, "stat", stat)
    found = [item.path.name for item in folder_dataset.create(tmp_path).items()]
    assert found == ["1.wav", "2.wav", "3.wav"]


# Files that are in use ----------------------------------------------------------------------------------------------


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A library of four tracks of which two were removed."""
    for number, notes in enumerate(list(TUNES.values())[:4]):
        write(tmp_path / "music" / f"{number}.wav", tune(notes, seconds=4, seed=number))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path / "music"], model="dsp")
        with library.catalog.transaction():
            library.catalog.remove([1, 3])
    return tmp_path / "library"


def in_use(*_: object, **__: object) -> None:
    raise PermissionError(13, "The process cannot access the file because it is being used by another process")


def names_of(library: LibraryFolder, query: Path) -> list[str]:
    return [match.path for match in search_library(library, Query(query, include_self=True)).matches]


def test_vacuum_leaves_mapped_files_to_the_next_one(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = half.parent / "music" / "0.wav"
    with LibraryFolder(half) as library:
        before = names_of(library, query)
    sidecars = {file for file in half.iterdir() if file.suffix in (".f32", ".i8", ".on", ".crc")}
    with monkeypatch.context() as patch, LibraryFolder(half, writable=True) as library:
        patch.setattr(Path, "unlink", in_use)
        assert vacuum_library(library).dropped > 0
        assert names_of(library, query) == before
    assert sidecars <= set(half.iterdir())
    with LibraryFolder(half, writable=True) as library:
        vacuum_library(library)
        assert names_of(library, query) == before
    assert not sidecars & set(half.iterdir())


def test_a_folder_of_rows_that_cannot_be_replaced_is_named(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (half / "rows.1").mkdir()
    (half / "rows.1" / "left.f32").touch()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with (
        LibraryFolder(half, writable=True) as library,
        pytest.raises(LibraryError, match=r"cannot make .*rows\.1: File exists; close other programs"),
    ):
        vacuum_library(library)


def test_a_mapped_prefilter_is_not_left_in_place_silently(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LibraryFolder(half, writable=True) as library:
        monkeypatch.setattr(Path, "unlink", in_use)
        with pytest.raises(LibraryError, match=r"cannot remove .*coarse\.track\.dsp@1\.derived: .* close other"):
            library.store.drop_prefilter("dsp")


def test_a_mapped_cache_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mapped_arrays.save(tmp_path, "ids", 1, {"ids": np.arange(3)})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", in_use)
        patch.setattr(os, "replace", in_use)
        assert not mapped_arrays.save(tmp_path, "ids", 2, {"ids": np.arange(9)})
    assert [file.name for file in tmp_path.iterdir()] == ["ids.derived"]
    held = mapped_arrays.load(tmp_path, "ids", 1)
    assert held is not None
    assert held["ids"].tolist() == [0, 1, 2]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed in /proc on Linux")
def test_a_temporary_recording_is_closed_before_it_is_opened_again(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", tune(TUNES["up"], seconds=1))
    with recording_file(io.BytesIO(file.read_bytes())) as path:
        assert path.read_bytes() == file.read_bytes()
        opened = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
        assert os.path.realpath(path) not in opened
    assert not path.exists()
    assert not path.parent.exists()


def test_windows_waits_for_no_more_than_63_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert processes._most_workers() <= 63
    started: list[int] = []
    monkeypatch.setattr(processes, "_most_workers", lambda: 2)
    real = processes._Worker
    monkeypatch.setattr(processes, "_Worker", lambda function: started.append(1) or real(function))
    assert sorted(result for _, result in processes.run_tasks(abs, [-1, -2, -3, -4], jobs=50)) == [1, 2, 3, 4]
    assert len(started) == 2


# Streams ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    path: Path


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
@pytest.mark.parametrize("name", ["é.wav", "š.wav", "🎸.wav", "音\udcff.wav", "a\u0301.wav"])
def test_json_is_json_in_every_encoding(encoding: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, errors="backslashreplace", write_through=True))
    print_json(Named(Path(name)))
    assert json.loads(raw.getvalue().decode(encoding))["path"] == name


def test_a_command_under_a_windows_code_page(tmp_path: Path) -> None:
    write(tmp_path / "š🎸.wav", tune(TUNES["up"], seconds=1))
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252:strict", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "soundalike", "search", tmp_path / "š🎸.wav", "--library", tmp_path / "none"],
        capture_output=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_windows_paths_keep_the_names_of_windows() -> None:
    """`near` and the tests above rely on it: paths of two drives have no relative path."""
    with pytest.raises(ValueError, match="mount"):
        ntpath.relpath("D:\\music", "C:\\")
