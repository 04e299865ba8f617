"""The site builds without warnings, its tutorials run, and every public name and command is in its reference."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import soundalike
import tutorials
from soundalike.cli.main import ROOT as COMMAND

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]
sys.path.append(str(DOCS / "_ext"))

from commands import section, walk  # noqa: E402

GENERATED_ANCHORS = {
    DOCS / "reference" / "commands.md": {path.replace(" ", "-") for path, _ in walk("soundalike", COMMAND)}
}


def without_code(text: str) -> str:
    return re.sub(r"^(`{3,}|~{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page: its headings as GitHub and MyST write them, explicit targets, and generated ones."""
    text = without_code(page.read_text())
    found: dict[str, int] = {}
    names = set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))
    for heading in re.findall(r"^#{1,6} +(.*?) *$", text, re.MULTILINE):
        plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
        names.add(slug if found[slug] == 1 else f"{slug}-{found[slug] - 1}")
    return names | GENERATED_ANCHORS.get(page, set())


def links(page: Path) -> list[str]:
    """The targets of all links and pictures that are not on the web."""
    text = re.sub(r"`[^`\n]*`", "", without_code(page.read_text()))
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n## `Three`, four\n## One two\n[a](#one-two) [b](x.md#y)\n```\n[c](z.md)\n```\n")
    assert links(page) == ["#one-two", "x.md#y"]
    assert anchors(page) == {"one-two", "three-four", "one-two-1"}


def test_every_page_of_the_site_is_in_its_contents() -> None:
    """Sphinx says so too; but not every test run builds the site."""
    listed = set()
    for page in DOCS.rglob("*.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
            lines = [line for line in block.splitlines() if line and not line.startswith(":")]
            names = [re.sub(r".*<(.*)>", r"\1", line) for line in lines]
            listed |= {(page.parent / f"{name}.md").resolve() for name in names if "*" not in name}
            listed |= {file for name in names if "*" in name for file in page.parent.glob(f"{name}.md")}
    missing = {page for page in DOCS.rglob("*.md") if "_build" not in page.parts} - listed - {DOCS / "index.md"}
    assert not missing
    assert all(page.exists() for page in listed)


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "python.md").read_text()
    documented = set(re.findall(r"(?:autoclass|autofunction|autoexception|py:data):: ([\w.]+)", page))
    assert {f"soundalike.{name}" for name in soundalike.__all__} <= documented
    for name in documented:
        module, _, attribute = name.rpartition(".")
        __import__(module)
        assert hasattr(sys.modules[module], attribute), name


def test_every_command_and_option_is_in_the_reference() -> None:
    found = dict(walk("soundalike", COMMAND))
    assert {"soundalike search", "soundalike library export", "soundalike evaluate probes"} <= set(found)
    search = "\n".join(section("soundalike search", found["soundalike search"]))
    for option in ("--weights", "--where", "--m3u", "--library"):
        assert option in search
    assert "`AUDIO`" in search


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-b", "html", "-n", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    html = (tmp_path / "reference" / "python.html").read_text()
    for name in set(soundalike.__all__) - {"__version__"}:
        assert f'id="soundalike.{name}"' in html
    assert 'id="soundalike-search"' in (tmp_path / "reference" / "commands.html").read_text()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the tutorials are written for bash")
@pytest.mark.parametrize("page", tutorials.PAGES, ids=lambda page: page.stem)
def test_the_tutorials_run_and_print_what_they_show(page: Path, tmp_path: Path) -> None:
    steps = tutorials.steps(page.read_text())
    assert len(steps) >= 5
    for step in steps:
        code, printed, errors = tutorials.run(step, tmp_path.resolve())
        assert code == 0, f"{step.text}\n{errors}"
        if step.shown:
            shows = f"{step.text}\nprints other lines than {page.name} shows; run: python tools/tutorials.py"
            assert tutorials.same_output(step.shown, printed), "\n".join([shows, *printed])


def test_the_steps_of_a_tutorial_are_found() -> None:
    page = "# A\n```console\n$ one\nprinted\n$ two\n```\n```text\n$ no\n```\n```python\nprint(1)\n```\n"
    found = tutorials.steps(page)
    assert [step.text for step in found] == ["one", "two", "print(1)\n"]
    assert [step.shown for step in found] == [["printed"], [], []]
    assert tutorials.same_output(["3 tracks in 0:01.5"], ["12 tracks in 0:00.7"])
    assert not tutorials.same_output(["3 tracks"], ["3 files"])


def test_the_examples_of_how_to_pages_run(tmp_path: Path) -> None:
    examples = [
        block
        for page in sorted((DOCS / "howto").glob("*.md"))
        if page.name != "serving.md"  # its examples need a server: tests/serve/test_http_api.py
        and page.name != "ray.md"  # its example needs a cluster: tests/core/test_ray.py
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    assert examples
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        shown = re.findall(r"# (\(.*\))$", example, re.MULTILINE)
        assert done.stdout.split("\n")[:-1] == shown
