"""`search` of a file: read, checked against its schema, then value by value on the experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hardy.core.catalog import suggest
from hardy.spec.check import check
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.node import Node, Origin
from hardy.spec.resolved import Search
from hardy.spec.search.attempt import Values
from hardy.spec.search.faults import fault_at, search_faults
from hardy.spec.search.spec import SearchSpec
from hardy.spec.search.values import label_in, same
from hardy.spec.units import make_unit, value_at, values_of


def search_path(tree: Node, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return where an override below `search.` lies: dotted paths are single keys in a file."""
    match path[1:]:
        case ["space", *rest] if rest:
            whole = ".".join(rest)
            space = tree.at(("search", "space"))
            known = space.value if space and isinstance(space.value, dict) else {}
            above = [key for key in known if whole == key or whole.startswith(f"{key}.")]
            key = max(above, key=len, default=whole)
            below = whole[len(key) + 1 :]
            if below.startswith("when."):
                return ("search", "space", key, "when", below.removeprefix("when."))
            return ("search", "space", key, *(below.split(".") if below else ()))
        case ["first", index, *rest] if rest:
            return ("search", "first", index, ".".join(rest))
    return path


def read_search(
    node: Node, body: Node, overridden: Sequence[tuple[str, ...]], faults: list[Diagnostic]
) -> Search | None:
    """Check a search block; append one diagnostic per fault.

    Args:
        node: The block.
        body: The experiment's tree without it, overrides included.
        overridden: Paths that were overridden; what is searched at or below them is left out.
        faults: Faults are appended here.

    Returns:
        The search, or None if there are faults.
    """
    found: list[Diagnostic] = []
    node = _possible_conditions(_spelled_out(node), found)
    schema: list[Diagnostic] = []
    spec = check(SearchSpec, node, schema)
    found += [_in_search(fault, node) for fault in schema]
    faults.extend(found)
    present: list[Diagnostic] = []
    base = make_unit(body, present)
    faults.extend(present)
    if spec is None or base is None or found:
        return None
    known = values_of(base.experiment)
    spec = _narrowed(spec, known, overridden)
    if not spec.space:
        message = "every searched value is overridden: nothing is left to search"
        faults.append(fault_at(node, ("space",), message, expected="search=null beside it"))
        return None
    told = len(faults)
    search = Search(spec, {}, node=node, body=body, known=known)
    search = Values(search, base, faults, present).read()
    faults.extend(search_faults(search, base))
    return search if len(faults) == told else None


def _in_search(fault: Diagnostic, node: Node) -> Diagnostic:
    """Return a fault of the block as one of the file, with the searched path that was meant."""
    near: list[str] = []
    space, path = node.child("space"), fault.path.removeprefix("space.")
    known = space.value if space is not None and isinstance(space.value, dict) else {}
    if path in known and not isinstance(known[path].value, dict):
        parts = [f"{o}.{k}" for o, e in known.items() if isinstance(e.value, dict) for k in e.value]
        near = suggest(path, parts, count=1)
    return replace(
        fault,
        path=f"search.{fault.path}" if fault.path else "search",
        suggestion=fault.suggestion or " or ".join(near),
    )


def _spelled_out(node: Node) -> Node:
    """Return the block with each list that stands alone under `space` as a categorical."""
    space = node.child("space")
    if space is None or not isinstance(space.value, dict) or not isinstance(node.value, dict):
        return node
    entries = {
        path: replace(
            each, value={"kind": Node("categorical", each.origin, each.key), "choices": each}
        )
        if isinstance(each.value, list)
        else each
        for path, each in space.value.items()
    }
    return replace(node, value={**node.value, "space": replace(space, value=entries)})


def _possible_conditions(node: Node, faults: list[Diagnostic]) -> Node:
    """Return the block without conditions that can be no order; tell of them."""
    space = node.child("space")
    if space is None or not isinstance(space.value, dict) or not isinstance(node.value, dict):
        return node
    entries = dict(space.value)
    for path, each in space.value.items():
        others = [other for other in space.value if other != path]
        for other, place in _conditions(each).items():
            if other not in others:
                message = f"{path} depends on {other!r}, which is no other searched value"
                where = ("search", "space", path, "when", other)
                faults.append(Diagnostic.at(place, where, message, name=other, known=others))
                entries[path] = _without_condition(entries[path], other)
    done: set[str] = set()
    while ready := [p for p in entries if p not in done and set(_conditions(entries[p])) <= done]:
        done |= set(ready)
    for path in entries:
        if path not in done:
            message = "these conditions and those of other values name each other in a circle"
            faults.append(fault_at(node, ("space", path, "when"), message))
            for other in _conditions(entries[path]):
                entries[path] = _without_condition(entries[path], other)
    return replace(node, value={**node.value, "space": replace(space, value=entries)})


def _conditions(each: Node) -> dict[str, Origin]:
    """Return the paths that a range's conditions name, and where."""
    when = each.child("when")
    found = when.value if when is not None and isinstance(when.value, dict) else {}
    return {other: node.place for other, node in found.items()}


def _without_condition(each: Node, other: str) -> Node:
    when = each.child("when")
    if when is None or not isinstance(each.value, dict):
        return each
    return replace(each, value={**each.value, "when": when.without(other)})


def _narrowed(
    spec: SearchSpec, known: Mapping[str, Any], overridden: Sequence[tuple[str, ...]]
) -> SearchSpec:
    """Return a search without the values that an override sets, nor those that it makes idle."""
    steps = {path: tuple(path.split(".")) for path in spec.space}
    fixed = {p for p in spec.space if any(steps[p][: len(o)] == o for o in overridden)}
    seeds = () if ("seed",) in overridden else spec.seeds
    if not fixed:
        return spec.model_copy(update={"seeds": seeds})
    space = {}
    for path in spec.ordered:
        when = spec.space[path].when or {}
        if path in fixed or any(other not in space and other not in fixed for other in when):
            continue  # it, or what it depends on, is not tried
        if all(
            _holds(spec, other, wanted, known) for other, wanted in when.items() if other in fixed
        ):
            rest = {other: wanted for other, wanted in when.items() if other not in fixed}
            space[path] = spec.space[path].model_copy(update={"when": rest or None})
    ordered = {path: space[path] for path in spec.space if path in space}
    first = tuple(
        {path: value for path, value in entry.items() if path in space or path not in spec.space}
        for entry in spec.first
    )
    return spec.model_copy(update={"space": ordered, "first": first, "seeds": seeds})


def _holds(spec: SearchSpec, path: str, wanted: object, known: Mapping[str, Any]) -> bool:
    """Whether a condition holds under the value that an override has set."""
    label = label_in(spec.space[path], value_at(known, path))
    value = label[0] if label else value_at(known, path)
    return any(same(value, each) for each in (wanted if isinstance(wanted, tuple) else (wanted,)))
