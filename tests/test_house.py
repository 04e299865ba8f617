"""The house: who imports whom, how long a file may be, what is public, what an import costs."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "soundalike"
FILES = sorted(SOURCE.rglob("*.py"))
HEAVY = (
    "torch", "transformers", "av", "soundfile", "soxr", "scipy", "fastapi", "uvicorn", "tinytag", "pyarrow",
)  # fmt: skip


def load_house() -> ModuleType:
    """The command `make house`, as a module."""
    spec = importlib.util.spec_from_file_location("house", ROOT / "tools" / "house.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module
    spec.loader.exec_module(module)
    return module


house = load_house()


def test_no_rule_of_the_house_is_broken() -> None:
    assert house.broken_rules() == []


def write_package(folder: Path, files: dict[str, str]) -> Path:
    source = folder / "soundalike"
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    return source


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"core/a.py": "def f():\n    from soundalike.models import Model\n", "models/__init__.py": ""},
            "core may not import models",
        ),
        (
            {"cli/a.py": "def f():\n    import soundalike.cli.b\n", "cli/b.py": "from soundalike.cli.a import f\n"},
            "modules import each other: soundalike.cli.a, soundalike.cli.b",
        ),
        (
            {
                "cli/__init__.py": "",
                "demo/__init__.py": "",
                "cli/a.py": "from soundalike.demo import b\n",
                "demo/b.py": "def f():\n    from soundalike.cli import a\n",
            },
            "packages import each other: cli, demo",
        ),
        (
            {
                "models/__init__.py": "from soundalike.models.a import x\n",
                "models/a.py": "x = 1\n",
                "models/b.py": "from soundalike.models import x\n",
            },
            "imports the face of its own package",
        ),
        (
            {"library/stores/a.py": "from soundalike.library.catalog.b import x\n", "library/catalog/b.py": "x = 1\n"},
            "library/stores may not import library/catalog",
        ),
        (
            {
                "train/data/a.py": "from soundalike.train.common.b import x\n",
                "train/common/b.py": "x = 1\n",
                "train/common/c.py": "from ..data import a\n",
            },
            "parts of train import each other: common, data",
        ),
        (
            {
                "backbones/a.py": "from soundalike.backbones import b\n\n\ndef create():\n    pass\n",
                "backbones/b.py": "x = 1\n\n\ndef create():\n    pass\n",
            },
            "members of backbones may not import each other",
        ),
        ({"audio/a.py": "from soundalike import Library\n"}, "imports Library from the root"),
        ({"guests/a.py": "from soundalike.core import b\n", "core/b.py": ""}, "the rules know no package guests"),
        ({"core/a.py": "x = 1\n" * 401}, "core/a.py has 401 lines; 400 are allowed"),
    ],
)
def test_every_rule_can_be_broken(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    assert any(problem in line for line in house.broken_rules(write_package(tmp_path, files)))


def test_a_lazy_face_is_no_import_and_a_good_house_has_no_problems(tmp_path: Path) -> None:
    files = {
        "core/a.py": "x = 1\n",
        "audio/__init__.py": "import lazy_loader\n",
        "audio/__init__.pyi": "from .b import y as y\n",
        "audio/b.py": "from soundalike.core.a import x as y\n",
        "models/c.py": "from soundalike.audio import y\n",
    }
    source = write_package(tmp_path, files)
    assert house.broken_rules(source) == []
    assert "3 names cross" not in house.table(source) and "2 names cross 2 borders" in house.table(source)


def face_names() -> list[tuple[str, str, str]]:
    """Every name of every face: its package, the module that defines it, and the name."""
    found = []
    for stub in sorted(SOURCE.rglob("__init__.pyi")):
        package = ".".join(("soundalike", *stub.parent.relative_to(SOURCE).parts))
        for module, name in re.findall(r"^from \.([\w.]*) import (\w+) as \2$", stub.read_text(), re.MULTILINE):
            found.append((package, module, name))
    return found


def test_every_name_of_a_face_is_there_and_is_no_module() -> None:
    assert len(face_names()) > 100
    for package, module, name in face_names():
        face = importlib.import_module(package)
        try:
            found = getattr(importlib.import_module(f"{package}.{module}"), name)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            continue
        assert getattr(face, name) is found
        assert not (Path(face.__file__ or "").parent / f"{name}.py").exists(), f"{package}.{name} is also a module"


def module_of(file: Path) -> str:
    return str(house.module_of(file))


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_files_say_what_they_are_for_and_what_is_public(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert lines[0].startswith('"""'), "a module says what it is for"
    if file.name not in ("__main__.py", "__init__.py") and len(lines) > 15:
        try:
            module = importlib.import_module(module_of(file))
        except ModuleNotFoundError as error:  # of the module itself, or of one that it imports
            if error.name != "torch":
                raise
            pytest.skip("torch is not installed")
        public = module.__all__
        assert list(public) == sorted(
            public, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
        ) or list(public) == sorted(public), f"{module.__name__}.__all__ is not in order"
        assert not [name for name in public if not hasattr(module, name)]


def test_import_is_light_and_quick() -> None:
    code = (
        # Time of the processor, which other programs do not lengthen.
        "import sys, time; before = time.process_time(); import soundalike; took = time.process_time() - before;"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]; print(took); print(heavy)"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert float(lines[0]) < 0.2
    assert lines[1] == "[]"


def test_public_names_resolve() -> None:
    import soundalike

    for name in soundalike.__all__:
        assert getattr(soundalike, name) is not None
    with pytest.raises(AttributeError, match="attribute nothing"):
        _ = soundalike.nothing


def test_the_architecture_page_names_every_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    packages = {str(file.parent.relative_to(SOURCE)) for file in SOURCE.rglob("__init__.py")} - {"."}
    assert not sorted(name for name in packages if f"{name.rsplit('/', maxsplit=1)[-1]}/" not in page)
