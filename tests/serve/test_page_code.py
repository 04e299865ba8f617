"""The code of the page: its unit tests, its types, its vendored files and its rules."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = Path(str(files("soundalike.serve") / "page"))
VENDOR = PAGE / "vendor"
OWN = sorted(
    file
    for kind in ("*.js", "*.css", "*.html")
    for file in PAGE.rglob(kind)
    if VENDOR not in file.parents
)  # fmt: skip
_ROW = re.compile(r"^\| (?P<file>\S+) \| .* \| (?P<digest>[0-9a-f]{64}) \|", re.M)


def test_unit_tests_of_the_page():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    tests = sorted(map(str, (ROOT / "tests" / "serve" / "page").glob("*.test.mjs")))
    done = subprocess.run([node, "--test", *tests], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^(?:#|ℹ) pass (\d+)$", done.stdout, re.M)
    assert passed and int(passed[1]) >= 20


def test_types_of_the_page():
    folder = ROOT / "tools" / "page"
    compiler = shutil.which("tsc", path=os.pathsep.join([str(folder / "node_modules" / ".bin"), os.environ["PATH"]]))
    if compiler is None:
        pytest.skip("TypeScript is not installed: npm install --prefix tools/page")
    command = [compiler, "-p", str(folder / "tsconfig.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_vendored_files_are_the_listed_ones():
    listed = {row["file"]: row["digest"] for row in _ROW.finditer((VENDOR / "README.md").read_text("utf-8"))}
    there = {
        file.relative_to(VENDOR).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDOR.rglob("*.js")
    }
    assert listed == there and there


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(PAGE).as_posix())
def test_files_of_the_page_keep_the_rules(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S) if path.suffix != ".html" else text
    # The policy of the server refuses these, or they would run text as code.
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", " style="):
        assert word not in code
    assert not re.search(r"setAttribute\(\s*[\"']style[\"']", code)
    # Nothing is loaded from elsewhere.
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[\w./-]*", code))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_every_file_that_the_page_names_is_there():
    document = (PAGE / "index.html").read_text("utf-8")
    named = re.findall(r'(?:href|src)="/assets/([^"]+)"', document)
    assert len(named) > 3
    for name in named:
        assert (PAGE / name).is_file(), name
    for script in (one for one in OWN if one.suffix == ".js"):
        for name in re.findall(r"""(?:from|import\()\s*["'](\.[^"']+)["']""", script.read_text("utf-8")):
            assert (script.parent / name).is_file(), f"{script.name}: {name}"
