"""The house: who imports whom, how long a file may be, what is public, what an import costs."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "soundalike"
FILES = sorted(SOURCE.rglob("*.py"))
PLUGINS = ("backbones", "datasets", "protocols", "stores")

# The storeys of docs/architecture.md: a file imports from its own number downwards only.
STOREYS = {
    "types": 0, "errors": 0, "files": 0, "registry": 0,
    "audio": 1, "decoders": 1, "tags": 1, "dsp": 1, "descriptors": 1, "heads": 1, "score": 1, "spaces": 1, "filters": 1,
    "fingerprint": 1, "catalog": 1, "database": 1, "reports": 1, "fusion": 1, "joint": 1, "spectra": 1,
    "groups": 1, "derived": 1, "columns": 1, "holdings": 4, "scan": 1,
    "coarse": 1, "seals": 1, "sealed": 1, "maintenance": 4, "checksums": 1, "migrations": 1,
    "passages": 1, "transcriber": 1, "playing": 1, "readings": 1, "routes": 1,
    "parquet": 1, "vectors_io": 1,
    "backbones": 2, "datasets": 2, "stores": 2,
    "kept": 1, "model": 3, "workers": 3, "features": 3,
    "hubness": 1, "examples": 3, "searching": 4,
    "chance": 1, "families": 4, "kin": 1, "queries": 3, "library": 4, "journeys": 4,
    "scanning": 4, "indexing": 4, "writing": 4, "compare": 4, "align": 4, "train": 4, "render": 4, "protocols": 4,
    "exchange": 4, "exported": 4, "exporting": 4, "importing": 4,
    "demo": 5, "cli": 5, "__main__": 5, "__init__": 5,
}  # fmt: skip
HEAVY = (
    "torch", "transformers", "av", "soundfile", "soxr", "scipy", "fastapi", "uvicorn", "numkong", "tinytag", "pyarrow",
)  # fmt: skip


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path, *, top_level_only: bool = False) -> set[str]:
    """Modules of this package that a file imports."""
    found: set[str] = set()
    tree = ast.parse(file.read_text())
    modules = {module_of(other) for other in FILES}
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("soundalike"):
            for name in node.names:
                full = f"{node.module}.{name.name}"
                found.add(full if full in modules else node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("soundalike")}
    return found


def storey(module: str) -> int:
    part = module.split(".")[1] if "." in module else "__init__"
    return STOREYS[part]


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_go_down(file: Path) -> None:
    own = module_of(file)
    if own in ("soundalike", "soundalike.registry"):
        return  # both resolve names lazily
    above = {other for other in imports_of(file) if other != "soundalike" and storey(other) > storey(own)}
    assert not above, f"{own} imports {above}, which lie above it"


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_files_are_short_and_say_what_is_public(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) < 400
    assert lines[0].startswith('"""'), "a module says what it is for"
    if file.name != "__main__.py" and len(lines) > 15:
        if re.search(r"^(import|from) torch\b", "\n".join(lines), re.MULTILINE):
            pytest.importorskip("torch", reason="torch is not installed")
        module = importlib.import_module(module_of(file))
        public = module.__all__
        assert list(public) == sorted(
            public, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
        ) or list(public) == sorted(public), f"{module.__name__}.__all__ is not in order"
        assert not [name for name in public if not hasattr(module, name)]


def test_members_of_a_plugin_folder_do_not_import_each_other() -> None:
    for folder in PLUGINS:
        for file in (SOURCE / folder).glob("*.py"):
            if file.stem != "__init__":
                siblings = {m for m in imports_of(file) if m.startswith(f"soundalike.{folder}.")}
                assert not siblings


def test_no_import_cycles() -> None:
    graph = {module_of(file): imports_of(file, top_level_only=True) & {module_of(f) for f in FILES} for file in FILES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' -> '.join((*trail, module))}"
        if module not in done:
            for other in graph[module] - {module}:
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_import_is_light_and_quick() -> None:
    code = (
        "import sys, time; before = time.perf_counter(); import soundalike; took = time.perf_counter() - before;"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]; print(took); print(heavy)"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert float(lines[0]) < 0.2
    assert lines[1] == "[]"


def test_public_names_resolve() -> None:
    import soundalike

    for name in soundalike.__all__:
        assert getattr(soundalike, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = soundalike.nothing


def test_the_architecture_page_names_every_module() -> None:
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text()
    names = {module_of(file).split(".")[1] for file in FILES if "." in module_of(file)} - {"__main__"}
    assert not sorted(name for name in names if not re.search(rf"(?<![\w/]){name}(\.py|/)", page))
