"""The house's one rule of order: a package imports only from those to its left."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "hardy"
ORDER = (
    "core",
    "spec",
    "plan",
    "data",
    "models",
    "measure",
    "explain",
    "methods",
    "engine",
    "tracking",
    "registry",
    "cli",
)
LIGHT = {"spec.py", "__init__.py", "cards.py", "names.py"}
LIGHT |= {path.name for path in SRC.rglob("*_spec.py")}
HEAVY = {"torch", "torchvision", "timm", "mlflow", "numpy", "pandas", "scipy", "PIL", "sklearn"}
FILES = sorted(SRC.rglob("*.py"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return the modules that a file imports, and whether at its top level."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append((node.module, id(node) in top))
        elif isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
    return found


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "hardy" and len(parts) > 1 and parts[1] in ORDER else None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_go_one_way(path):
    own = path.relative_to(SRC).parts[0]
    if own not in ORDER:
        return
    for module, _ in imports(path):
        target = room(module)
        if target is None or target == own:
            continue
        schema = f"{module.split('.')[-1]}.py" in LIGHT or (
            (SRC.parent / module.replace(".", "/")).is_dir()
        )
        assert (
            ORDER.index(target) < ORDER.index(own)
            or (schema and path.name in LIGHT | {"experiment.py"})
            or (own == "spec" and schema)
        ), f"{path.name} imports {module}, which is to its right"


def is_light(path: Path) -> bool:
    """Say whether validating a spec imports this file."""
    if path.relative_to(SRC).parts[0] in ("core", "spec", "plan"):
        return True
    beside = {p.name for p in path.parent.glob("*.py")} & LIGHT - {"__init__.py"}
    return path.name in LIGHT and (path.name != "__init__.py" or bool(beside))


@pytest.mark.parametrize(
    "path", [p for p in FILES if is_light(p)], ids=lambda p: str(p.relative_to(SRC))
)
def test_what_a_spec_needs_is_light(path):
    heavy = [m for m, top in imports(path) if top and m.split(".")[0] in HEAVY]
    assert not heavy


def test_every_package_is_in_the_order():
    assert {p.name for p in SRC.iterdir() if p.is_dir() and p.name != "__pycache__"} == set(ORDER)


def test_mlflow_is_imported_by_tracking_registry_and_cli_alone():
    for path in FILES:
        own = path.relative_to(SRC).parts[0]
        if any(m.split(".")[0] == "mlflow" for m, _ in imports(path)):
            assert own in ("tracking", "registry", "cli"), path
