"""What a shell can complete: specs, dotted paths with their values, runs."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

_RUNS = 20
# Keys of a file that are no values of an experiment.
_OF_FILES = ("extends", "matrix", "suite")
_SPACE = "search.space."
_HEX = frozenset("0123456789abcdef")


def complete_spec(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Complete the names below experiments/; where none fits, the shell completes files."""
    from hardy.spec.find import names

    found = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def complete_run(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Complete the ids of the newest runs of a local store."""
    from hardy.tracking.recent import local_store, recent_runs

    database = local_store()
    if database is None or not set(incomplete) <= _HEX:
        return []
    rows = recent_runs(database, incomplete, _RUNS)
    return [CompletionItem(run, help=f"{name}, {status.lower()}") for run, name, status in rows]


def complete_override(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Complete the last assignment of `--set`: its path up to `=`, then its value."""
    done, space, last = incomplete.rpartition(" ")
    before = done + space
    path, equals, value = last.partition("=")
    known = paths()
    if path.startswith(_SPACE):  # the paths that a search can vary
        known = {
            f"{_SPACE}{name}": leaf for name, leaf in known.items() if not name.startswith("search")
        }
    if not equals:
        return [
            CompletionItem(f"{before}{name}=", help=leaf.description or None)
            for name, leaf in known.items()
            if name.startswith(path)
        ]
    values = known[path].values if path in known else ()
    return [CompletionItem(f"{before}{path}={v}") for v in values if v.startswith(value)]


class Leaf:
    """A place for a value: what the schema says of it.

    Attributes:
        description: The field's, of the first alternative that has it.
        values: The values that can be named; empty where there are too many.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        self.values: tuple[str, ...] = ()


def paths() -> dict[str, Leaf]:
    """Return every dotted path that `--set` takes, over all kinds of parts, sorted."""
    from hardy.spec import json_schema

    schema = json_schema()
    found: dict[str, Leaf] = {}
    for path, field in _leaves(schema, schema.get("$defs", {}), ""):
        leaf = found.setdefault(path, Leaf(str(field.get("description", ""))))
        leaf.values = tuple(dict.fromkeys([*leaf.values, *_values(field)]))
    return {path: found[path] for path in sorted(found) if path not in _OF_FILES}


def _leaves(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the leaves of all alternatives; a path that several have comes as often."""
    simple = []
    for each in _alternatives(schema, definitions):
        for name, field in each.get("properties", {}).items():
            yield from _leaves(field, definitions, f"{path}.{name}" if path else name)
        if "properties" not in each:
            simple.append(each)
    if path and simple:
        description = _followed(schema, definitions).get("description", "")
        yield path, {"description": description, "anyOf": simple}


def _alternatives(
    schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Yield what a value may be, however deep the alternatives nest."""
    schema = _followed(schema, definitions)
    if "anyOf" not in schema:
        yield schema
    for each in schema.get("anyOf", ()):
        yield from _alternatives(each, definitions)


def _followed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target = definitions.get(str(reference).rpartition("/")[2], {})
    # What stands beside a reference, such as a description, is nearer than what it leads to.
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _values(schema: Mapping[str, Any]) -> Iterator[str]:
    for each in schema.get("anyOf", ()):
        yield from _values(each)
    if schema.get("type") == "boolean":
        yield from ("true", "false")
    elif schema.get("type") == "null":
        yield "null"
    for value in schema.get("enum", ()):
        yield str(value)
    if isinstance(schema.get("const"), str):
        yield schema["const"]
