"""Read the imports of `soundalike` and check them against the rules of docs/architecture.md.

    python tools/house.py

prints which package imports how many names from which, then every broken rule; it exits with 1 if there is one.
Imports inside functions count. The lazy table of a face (`__init__.pyi`) does not.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "soundalike"
ROOT = "soundalike"

EVERYTHING = frozenset(
    [
        "core", "audio", "backbones", "models", "library", "search", "render", "train", "evaluate", "reproduce", "api",
        "demo",
    ]
)  # fmt: skip
# Which package may import which. A file directly below `soundalike`, such as api.py, counts as a package.
ALLOWED: Mapping[str, frozenset[str]] = {
    "core": frozenset(),
    "audio": frozenset({"core"}),
    "backbones": frozenset({"core", "audio"}),
    "models": frozenset({"core", "audio", "backbones"}),
    "library": frozenset({"core", "audio", "backbones", "models"}),
    "search": frozenset({"core", "audio", "backbones", "models", "library"}),
    "render": frozenset({"core", "audio"}),
    "train": frozenset({"core", "audio", "backbones", "models", "render"}),
    "evaluate": frozenset({"core", "audio", "models", "library", "search", "render"}),
    "reproduce": EVERYTHING - {"reproduce", "api", "demo"},
    "api": frozenset({"core", "audio", "models", "library", "search"}),
    "demo": EVERYTHING - {"demo"},
    "serve": EVERYTHING - {"demo"},
    "cli": EVERYTHING | {"serve"},
    "__main__": frozenset({"cli"}),
}
# Inside a package: which of its parts may import which. Parts that are not listed are free, but circles never are.
INSIDE: Mapping[str, Mapping[str, frozenset[str]]] = {
    "library": {"catalog": frozenset(), "stores": frozenset()},
    "render": {
        "score": frozenset(),
        "sources": frozenset({"score"}),
        "sound": frozenset({"score"}),
        "folders": frozenset({"score", "sources", "sound"}),
        "songs": frozenset({"score", "sources", "sound", "folders"}),
    },
    "train": {
        "common": frozenset(),
        "data": frozenset({"common"}),
        "heads": frozenset({"common", "data"}),
        "transcriber": frozenset({"common", "data"}),
        "descriptors": frozenset(),
        "metric": frozenset({"common", "data"}),
        "concepts": frozenset({"common", "data"}),
        "published": frozenset({"common", "heads"}),
        "jobs": frozenset({"common", "data", "heads", "transcriber", "descriptors", "metric", "concepts"}),
    },
}
PLUGINS = ("audio/datasets", "audio/separators", "backbones", "evaluate/protocols", "library/stores")
LONGEST = 400


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: the module that imports, the module or face that it names, and the name."""

    importer: str
    module: str
    name: str
    line: int


def module_of(file: Path, source: Path = SOURCE) -> str:
    """The dotted name of a file."""
    parts = file.relative_to(source).with_suffix("").parts
    return ".".join((ROOT, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def package_of(module: str) -> str:
    """The part below `soundalike`: "library" of "soundalike.library.folder"; "" of the root itself."""
    return module.split(".")[1] if "." in module else ""


def read_imports(files: Iterable[Path], source: Path = SOURCE) -> list[Import]:
    """Every import of our own modules, wherever in a file it stands."""
    files = list(files)
    modules = {module_of(file, source) for file in files}
    found = []
    for file in files:
        own = module_of(file, source)
        package = own if file.name == "__init__.py" else own.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*parents, base] if base else parents)
                if base.split(".")[0] != ROOT:
                    continue
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    found.append(Import(own, full if full in modules else base, alias.name, node.lineno))
            elif isinstance(node, ast.Import):
                found += [Import(own, a.name, "", node.lineno) for a in node.names if a.name.split(".")[0] == ROOT]
    return found


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that import each other, directly or not (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def _graph(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for one, other in pairs:
        if one != other:
            edges.setdefault(one, set()).add(other)
    return edges


def _part(module: str) -> str:
    """Inside a package: the sub-package or file that a module belongs to."""
    return [*module.split("."), ""][2]


def broken_rules(source: Path = SOURCE) -> list[str]:
    """Every broken rule as one line; none means that the house is in order."""
    files = sorted(source.rglob("*.py"))
    imports = read_imports(files, source)
    problems = []
    for one in imports:
        importer, imported = package_of(one.importer), package_of(one.module)
        where = f"{one.importer}:{one.line}"
        if importer and importer != imported:
            if imported == "" and one.name not in ("__version__",):
                problems.append(f"{where} imports {one.name} from the root; import it from its package")
            elif imported and importer not in ALLOWED:
                problems.append(f"{where}: the rules know no package {importer}; add it to ALLOWED")
            elif imported and imported not in ALLOWED[importer]:
                problems.append(f"{where} imports {one.module}; {importer} may not import {imported}")
        if importer and importer == imported:
            if one.module == f"{ROOT}.{importer}" and one.importer != one.module:
                problems.append(f"{where} imports the face of its own package; import the sibling directly")
            ours, theirs = _part(one.importer), _part(one.module)
            allowed = INSIDE.get(importer, {}).get(ours)
            if allowed is not None and ours != theirs and theirs not in allowed:
                problems.append(f"{where} imports {one.module}; {importer}/{ours} may not import {importer}/{theirs}")
    for folder in PLUGINS:
        files_here = (source / folder).glob("*.py")
        names = {module_of(file, source) for file in files_here if "\ndef create(" in file.read_text(encoding="utf-8")}
        problems += [
            f"{one.importer}:{one.line} imports {one.module}; members of {folder} may not import each other"
            for one in imports
            if one.importer in names and one.module in names - {one.importer}
        ]
    packages = _graph((package_of(one.importer), package_of(one.module)) for one in imports if package_of(one.module))
    problems += [f"packages import each other: {', '.join(group)}" for group in circles(packages)]
    modules = _graph((one.importer, one.module) for one in imports)
    problems += [f"modules import each other: {', '.join(group)}" for group in circles(modules)]
    for package in sorted({package_of(one.importer) for one in imports}):
        parts = _graph(
            (ours, theirs)
            for one in imports
            if package_of(one.importer) == package_of(one.module) == package
            and (ours := _part(one.importer))
            and (theirs := _part(one.module))
        )
        problems += [f"parts of {package} import each other: {', '.join(group)}" for group in circles(parts)]
    for file in files:
        if (length := len(file.read_text(encoding="utf-8").splitlines())) > LONGEST:
            problems.append(f"{file.relative_to(source)} has {length} lines; {LONGEST} are allowed")
    return problems


def table(source: Path = SOURCE) -> str:
    """Which package (rows) imports how many names from which (columns), as text."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in read_imports(sorted(source.rglob("*.py")), source):
        importer, imported = package_of(one.importer), package_of(one.module)
        if importer and imported and importer != imported:
            counts[importer, imported] += 1
    columns = [name for name in ALLOWED if any(pair[1] == name for pair in counts)]
    rows = [name for name in ALLOWED if (source / name).exists() or (source / f"{name}.py").exists()]
    lines = ["".join([f"{'':10}", *(f"{name:>10}" for name in columns)])]
    for row in rows:
        cells = (str(counts[row, column] or "·") for column in columns)
        lines.append("".join([f"{row:10}", *(f"{cell:>10}" for cell in cells)]))
    lines.append(f"{sum(counts.values())} names cross {len(counts)} borders between packages")
    return "\n".join(lines)


def main() -> int:
    """Print the table and the broken rules."""
    print(table())
    problems = broken_rules()
    for problem in problems:
        print(problem)
    print("no rule is broken" if not problems else f"{len(problems)} rules are broken")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
