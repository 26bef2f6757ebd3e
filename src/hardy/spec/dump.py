"""A resolved experiment as YAML that resolves to the same experiment again."""

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from hardy.spec.node import KeyPath
from hardy.spec.scalars import NUMBER

Comment = Callable[[KeyPath], str]


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper, which also quotes the texts that YAML 1.2 alone would read as numbers."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+.0123456789"))


def dump(model: BaseModel) -> str:
    """Return the YAML of an experiment, defaults written out, keys as a spec file has them."""
    return dump_lines(model.model_dump(mode="json", by_alias=True), lambda path: "")


def dump_lines(value: Mapping[str, Any], comment: Comment) -> str:
    """Return YAML in block style, each leaf followed by the comment of its path, if any."""
    return "".join(f"{line}\n" for line in _mapping(value, (), "", comment))


def _mapping(value: Mapping[str, Any], path: KeyPath, indent: str, comment: Comment) -> list[str]:
    lines = []
    for key, below in value.items():
        lines += _entry(f"{indent}{scalar(key)}:", below, (*path, key), indent, comment)
    return lines


def _entry(head: str, value: Any, path: KeyPath, indent: str, comment: Comment) -> list[str]:  # noqa: ANN401
    if isinstance(value, Mapping) and value:
        return [head, *_mapping(value, path, indent + "  ", comment)]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [head, *_items(value, path, indent + "  ", comment)]
    note = comment(path)
    return [f"{head} {scalar(value)}" + (f"  # {note}" if note else "")]


def _items(values: list[Any], path: KeyPath, indent: str, comment: Comment) -> list[str]:
    lines = []
    for index, item in enumerate(values):
        below = _entry(f"{indent}-", item, (*path, index), indent, comment)
        # A mapping begins on the dash's own line.
        if len(below) > 1:
            below = [f"{indent}- {below[1].strip()}", *below[2:]]
        lines += below
    return lines


def scalar(value: Any) -> str:  # noqa: ANN401 - any YAML value
    """Write a leaf (a scalar, a flat list, an empty mapping) on one line."""
    # Single-quoted style would fold line breaks over several lines.
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        default_style=style,
        width=float("inf"),
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")
