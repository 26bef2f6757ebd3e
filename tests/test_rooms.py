"""The rooms that carry out, judge and print know no method and no task by name.

A method or a task is added by its folder and a line in a tuple: no other code may import from such
a folder, nor ask what a `kind` is.
"""

import ast
from pathlib import Path

import pytest

from hardy.methods import METHODS
from hardy.tasks import TASKS

SRC = Path(__file__).parent.parent / "src" / "hardy"
ROOMS = ("spec", "plan", "results", "engine", "tracking", "registry", "cli")
KINDS = {str(schema.model_fields["kind"].default) for schema in (*METHODS, *TASKS)}
FOLDERS = {
    f"hardy.{room}.{path.name}"
    for room in ("methods", "tasks")
    for path in (SRC / room).iterdir()
    if path.is_dir() and path.name != "__pycache__"
}
FILES = sorted(path for room in ROOMS for path in (SRC / room).rglob("*.py"))

# Not yet true; to be emptied.
IMPORTS = {("engine/fit.py", "hardy.methods.ensemble.method")}
COMPARISONS: set[tuple[str, str]] = set()


def concrete_imports(path: Path) -> set[str]:
    """Return the modules that a file imports from the folder of one method or task."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    under = {m for m in found if any(m == f or m.startswith(f"{f}.") for f in FOLDERS)}
    return {m for m in under if not any(m.startswith(f"{other}.") for other in under - {m})}


def compared_kinds(path: Path) -> set[str]:
    """Return the kinds of methods and tasks that a file compares something with."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.match_case):
            parts = [node.pattern]
        else:
            continue
        for part in parts:
            found |= {n.value for n in ast.walk(part) if isinstance(n, ast.Constant)} & KINDS
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_it_names_no_method_and_no_task(path: Path) -> None:
    name = str(path.relative_to(SRC))
    assert {(name, module) for module in concrete_imports(path)} <= IMPORTS
    assert {(name, kind) for kind in compared_kinds(path)} <= COMPARISONS


def test_nothing_is_excused_that_is_right_by_now() -> None:
    imported = {(str(p.relative_to(SRC)), m) for p in FILES for m in concrete_imports(p)}
    compared = {(str(p.relative_to(SRC)), k) for p in FILES for k in compared_kinds(p)}
    assert imported >= IMPORTS
    assert compared >= COMPARISONS


def test_the_test_sees_what_it_looks_for(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        "from hardy.methods.memo import spec\n"
        "import hardy.tasks.classify.task\n"
        "table = {'memo': 1}\n"
        "a = table['tpt'] if method.kind == 'ensemble' else kind in ('source', 'x')\n"
        "match kind:\n    case 'tpt' | 'other':\n        pass\n"
    )
    assert concrete_imports(file) == {"hardy.methods.memo", "hardy.tasks.classify.task"}
    assert compared_kinds(file) == {"ensemble", "source", "tpt"}
