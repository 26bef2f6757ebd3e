"""`extends`: a spec file stands on other files.

The rule, whole: mappings merge key by key and the later file wins; everything else (scalars,
lists, null) is replaced whole; a mapping whose `kind` the later file changes is replaced whole,
for keys of the old kind would linger. A list of files merges from first to last, then comes the
file itself.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from hardy.core.catalog import suggest
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.load import read_file
from hardy.spec.node import Node

MAX_FILES = 100


def merge(base: Node, later: Node) -> Node:
    """Return `base` overridden by `later`, each value with the chain of what it overrode."""
    if not (isinstance(base.value, dict) and isinstance(later.value, dict)):
        return later.over(base)
    if _kind_changes(base.value, later.value):
        return later.over(base)
    entries = dict(base.value)
    for key, node in later.value.items():
        entries[key] = merge(entries[key], node) if key in entries else node
    return replace(later, value=entries)


def _kind_changes(base: dict[str, Node], later: dict[str, Node]) -> bool:
    if "kind" not in base or "kind" not in later:
        return False
    return bool(base["kind"].plain() != later["kind"].plain())


def shown(path: Path) -> str:
    """Return a path as messages give it: relative to the current directory where it is below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@dataclass
class Loader:
    """Reads a file and all that it extends.

    Attributes:
        faults: What was found wrong so far.
        files: How many files were read.
        context: Added to every fault, such as which suite the file was read for.
    """

    faults: list[Diagnostic] = field(default_factory=list)
    files: int = 0
    context: str = ""

    def load(self, path: Path, chain: tuple[Path, ...] = (), note: str = "") -> Node | None:
        """Return the merged tree without `extends`, or None if a part of it is unreadable."""
        self.files += 1
        notes = ", ".join(filter(None, (note, self.context)))
        node = read_file(path, shown(path), self.faults, note=notes)
        if node is None:
            return None
        extends = node.child("extends")
        if extends is None:
            return node
        whole: Node | None = node.without("extends")
        trees = [self._base(entry, path, (*chain, path)) for entry in self._entries(extends)]
        for tree in reversed(trees):
            whole = merge(tree, whole) if tree and whole else None
        return whole

    def _entries(self, extends: Node) -> list[Node]:
        entries = extends.value if isinstance(extends.value, list) else [extends]
        for entry in entries:
            if not isinstance(entry.value, str) or not entry.value:
                self._fault(entry, "`extends` takes a path or a list of paths")
        return entries

    def _base(self, entry: Node, path: Path, chain: tuple[Path, ...]) -> Node | None:
        if not isinstance(entry.value, str) or not entry.value:
            return None
        try:
            base = (path.parent / entry.value).resolve()
            found = base.is_file()
        except (OSError, ValueError, RuntimeError):
            # A NUL in the name, a name too long, a circle of links.
            self._fault(entry, "this cannot be a file's path")
            return None
        if not found:
            self._missing(entry, base)
            return None
        if base in chain:
            circle = " -> ".join(shown(p) for p in (*chain[chain.index(base) :], base))
            self._fault(entry, f"`extends` makes a circle: {circle}")
            return None
        if self.files >= MAX_FILES:
            self._fault(entry, f"more than {MAX_FILES} files are extended")
            return None
        return self.load(base, chain, f"extended by {entry.origin}")

    def _missing(self, entry: Node, base: Path) -> None:
        here = base.parent if base.parent.is_dir() else None
        names = [file.name for file in here.glob("*.yaml")] if here else []
        near = suggest(base.name, names)
        what = (
            f"{shown(base)} is a folder"
            if base.is_dir()
            else f"the file {shown(base)} does not exist"
        )
        fault = Diagnostic.at(entry.origin, ("extends",), what)
        prefix = str(entry.value)[: -len(base.name)]
        self.faults.append(replace(fault, suggestion=" or ".join(prefix + name for name in near)))

    def _fault(self, entry: Node, message: str) -> None:
        self.faults.append(Diagnostic.at(entry.origin, ("extends",), message))
