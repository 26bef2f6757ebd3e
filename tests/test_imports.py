"""The house's one rule of order: a room imports only from those to its left, and in no circle."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SRC = Path(__file__).parent.parent / "src" / "hardy"
ORDER = (
    "core",
    "spec",
    "data",
    "models",
    "plan",
    "measure",
    "explain",
    "tasks",
    "methods",
    "results",
    "engine",
    "tracking",
    "registry",
    "cli",
)
# Files that say what a spec may say. They compose across rooms, and so are free of heavy imports.
LIGHT = {"spec.py", "__init__.py", "cards.py", "names.py", "reference.py"}
LIGHT |= {path.name for path in SRC.rglob("*_spec.py")}
HEAVY = {"torch", "torchvision", "timm", "mlflow", "numpy", "pandas", "scipy", "PIL", "sklearn"}
FILES = sorted(SRC.rglob("*.py"))
# To be emptied: what is not yet in its right room.
NOT_YET = {
    ("data/loader.py", "hardy.engine.device"),
    ("data/loader.py", "hardy.engine.progress"),
    ("data/loader.py", "hardy.engine.setup"),
    ("data/loader.py", "hardy.methods.fitting"),
}


class Import(NamedTuple):
    """A module that a file imports, and how.

    Attributes:
        module: Its dotted name.
        top: Whether the import runs when the file is imported.
        typing: Whether it is for type checkers alone.
    """

    module: str
    top: bool
    typing: bool


@cache
def imports(path: Path) -> tuple[Import, ...]:
    tree = ast.parse(path.read_text())
    typing = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(ast.Module(block.body, []))
    }
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    return tuple(
        Import(module, id(node) not in inside | typing, id(node) in typing)
        for node in ast.walk(tree)
        for module in _modules(node)
    )


def _modules(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        files = [name for name in below if name in modules()]
        yield from files
        if len(files) < len(below):
            yield node.module


@cache
def modules() -> dict[str, Path]:
    """Return the files of all modules by their dotted names; a package's is its `__init__`."""
    found = {}
    for path in FILES:
        parts = ("hardy", *path.relative_to(SRC).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "hardy" and len(parts) > 1 and parts[1] in ORDER else None


def is_allowed(path: Path, module: str) -> bool:
    """Say whether a file may import a module of hardy's."""
    own, target = path.relative_to(SRC).parts[0], room(module)
    if own not in ORDER or target is None or target == own:
        return True
    if ORDER.index(target) < ORDER.index(own):
        return True
    schema = modules()[module].name in LIGHT
    return schema and (path.name in LIGHT or own in ("spec", "plan"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_go_one_way(path: Path) -> None:
    name = str(path.relative_to(SRC))
    wrong = {one.module for one in imports(path) if not is_allowed(path, one.module)}
    known = {module for file, module in NOT_YET if file == name}
    assert not wrong - known, f"{name} imports {sorted(wrong - known)}, to its right"
    assert not known - wrong, f"{name} no longer imports {sorted(known - wrong)}: strike it out"


def test_every_room_is_in_the_order_and_only_hardy_itself_outside() -> None:
    rooms = {p.name for p in SRC.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms == set(ORDER)
    assert {p.name for p in SRC.glob("*.py")} == {"__init__.py", "__main__.py", "_version.py"}


def circles() -> set[frozenset[str]]:
    """Return the groups of modules that import one another, inside functions included."""
    graph = {
        name: {o.module for o in imports(path) if o.module in modules() and not o.typing} - {name}
        for name, path in modules().items()
    }
    reach = {name: _reached(graph, name) for name in graph}
    return {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in graph
        if name in reach[name]
    }


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def test_no_modules_import_one_another() -> None:
    assert not [sorted(circle) for circle in circles()]


def is_light(path: Path) -> bool:
    """Say whether validating a spec imports this file."""
    if path.relative_to(SRC).parts[0] in ("core", "spec", "plan"):
        return True
    beside = {p.name for p in path.parent.glob("*.py")} & LIGHT - {"__init__.py"}
    return path.name in LIGHT and (path.name != "__init__.py" or bool(beside))


@pytest.mark.parametrize(
    "path", [p for p in FILES if is_light(p)], ids=lambda p: str(p.relative_to(SRC))
)
def test_what_a_spec_needs_is_light(path: Path) -> None:
    assert not [o.module for o in imports(path) if o.top and o.module.split(".")[0] in HEAVY]


def test_mlflow_is_imported_by_tracking_registry_and_cli_alone() -> None:
    for path in FILES:
        own = path.relative_to(SRC).parts[0]
        if any(one.module.split(".")[0] == "mlflow" for one in imports(path)):
            assert own in ("tracking", "registry", "cli"), path
