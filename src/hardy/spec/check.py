"""A tree against a schema: pydantic's errors, brought back to where the values were written."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hardy.core.catalog import suggest
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.node import KeyPath, Node

Model = TypeVar("Model", bound=BaseModel)
Schema = Mapping[str, Any]

_ANY: Schema = {"type": "any"}
_LONGEST_GOT = 80


def check(
    model: type[Model], tree: Node, faults: list[Diagnostic], *, beside: Sequence[str] = ()
) -> Model | None:
    """Validate a tree; append one diagnostic per fault.

    The values pass as JSON in pydantic's strict mode: a text is no number, `true` is no 1, and a
    list is a tuple.

    Args:
        model: The schema.
        tree: The values.
        faults: Faults are appended here.
        beside: Keys that a file may have beside the schema's own, for suggestions.

    Returns:
        The validated model, or None if there are faults.
    """
    try:
        return model.model_validate_json(json.dumps(tree.plain()), strict=True)
    except ValidationError as error:
        errors = _true(error.errors(include_url=False))
    schema = model.__pydantic_core_schema__
    faults.extend(_joined(_translate(error, schema, tree, beside) for error in errors))
    faults.extend(_behind_wrong_kinds(model, tree, errors))
    return None


def _joined(faults: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Make one of the faults of a value that may be of several types: any of these would do."""
    found: dict[tuple[object, ...], Diagnostic] = {}
    for fault in faults:
        before = found.get(fault.identity)
        if before is not None and before.expected and fault.expected:
            expected = " or ".join(dict.fromkeys([before.expected, fault.expected]))
            suggestion = before.suggestion or fault.suggestion
            fault = replace(before, expected=expected, suggestion=suggestion)
        found[fault.identity] = fault
    return list(found.values())


def _true(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what is at fault only because of another entry.

    A list or mapping is too short where its entries were wrong, and a default that goes by other
    keys cannot be had where one of these is.
    """
    return [
        error
        for error in errors
        if error["type"] != "default_factory_not_called"
        and (error["type"] != "too_short" or not any(_below_it(error, other) for other in errors))
    ]


def _below_it(error: ErrorDetails, other: ErrorDetails) -> bool:
    above = error["loc"]
    return len(other["loc"]) > len(above) and other["loc"][: len(above)] == above


def _behind_wrong_kinds(
    model: type[Model], tree: Node, errors: list[ErrorDetails]
) -> list[Diagnostic]:
    """Return what else is wrong in a mapping whose `kind` is misspelt, were it spelt right."""
    schema = model.__pydantic_core_schema__
    mended = tree
    for error in errors:
        if error["type"] == "union_tag_invalid":
            path, union, _ = locate(schema, error["loc"])
            near = suggest(error["ctx"]["tag"], union.get("choices", ()), count=1)
            wanted = (*path, _discriminator(error))
            mended = _with_text(mended, wanted, near[0]) if near else mended
    if mended is tree:
        return []
    found: list[Diagnostic] = []
    check(model, mended, found)
    return found


def _discriminator(error: ErrorDetails) -> str:
    """Return the field that tells a union's schemas apart; a function that does is called so."""
    return str(error.get("ctx", {}).get("discriminator", "kind")).strip("'()")


def _with_text(node: Node, path: KeyPath, text: str) -> Node:
    """Return a tree with another text at a path."""
    if not path:
        return replace(node, value=text)
    step, below = path[0], node.child(path[0])
    if below is None:
        return node
    changed = _with_text(below, path[1:], text)
    if isinstance(node.value, list) and isinstance(step, int):
        return replace(node, value=[*node.value[:step], changed, *node.value[step + 1 :]])
    if isinstance(node.value, dict) and isinstance(step, str):
        return replace(node, value={**node.value, step: changed})
    return node


class Located(NamedTuple):
    """What a pydantic `loc` means: the path in the file, the schema there, the field's meaning."""

    path: KeyPath
    schema: Schema
    description: str


def locate(schema: Schema, loc: tuple[int | str, ...]) -> Located:
    """Find the place that a pydantic `loc` means, without the union tags in it."""
    path: list[int | str] = []
    description = ""
    definitions = {d["ref"]: d for d in schema.get("definitions", ())}
    for step in loc:
        schema, owner = _unwrap(schema, definitions)
        if schema["type"] not in ("tagged-union", "union"):
            path.append(step)
        if schema["type"] == "model-fields":
            description = _description(owner, step)
        schema = _below(schema, step)
    return Located(tuple(path), _unwrap(schema, definitions)[0], description)


def _description(owner: type[BaseModel] | None, name: int | str) -> str:
    known = owner.model_fields.items() if owner else ()
    return next((f.description or "" for key, f in known if name in (key, f.alias)), "")


def _unwrap(
    schema: Schema, definitions: Mapping[str, Schema]
) -> tuple[Schema, type[BaseModel] | None]:
    """Step through what takes no part in a `loc`: models, defaults, nullables, validators.

    Returns:
        The schema within, and the last model stepped through.
    """
    owner = None
    while True:
        kind = schema["type"]
        owner = schema["cls"] if kind == "model" else owner
        if kind == "definition-ref":
            schema = definitions.get(schema["schema_ref"], _ANY)
        elif kind == "json-or-python":
            schema = schema["json_schema"]
        elif kind == "lax-or-strict":
            schema = schema["strict_schema"]
        elif "schema" in schema:
            schema = schema["schema"]
        else:
            return schema, owner


def _below(schema: Schema, step: int | str) -> Schema:
    match schema["type"]:
        case "tagged-union":
            found = schema["choices"].get(step, _ANY)
        case "model-fields":
            found = fields(schema).get(step, _ANY)
        case "dict":
            found = schema.get("values_schema", _ANY)
        case "list" | "set" | "frozenset":
            found = schema.get("items_schema", _ANY)
        case "tuple" if isinstance(step, int) and schema.get("items_schema"):
            found = schema["items_schema"][min(step, len(schema["items_schema"]) - 1)]
        case _:
            found = _ANY
    return found if isinstance(found, Mapping) else _ANY


def fields(schema: Schema) -> dict[int | str, Schema]:
    """Return a model's fields by the names that a file gives them."""
    own = schema.get("fields", {})
    return {
        field.get("validation_alias", name)
        if isinstance(field.get("validation_alias", name), str)
        else name: field["schema"]
        for name, field in own.items()
    }


def _translate(
    error: ErrorDetails, schema: Schema, tree: Node, beside: Sequence[str]
) -> Diagnostic:
    kind, loc = error["type"], error["loc"]
    path, wanted, description = locate(schema, loc)
    node = tree.deepest(path)
    if kind == "missing":
        parent = tree.deepest(path[:-1])
        message = f"the key `{path[-1]}` is missing"
        return Diagnostic.at(parent.place, path, message, expected=_type_words(wanted))
    if kind == "extra_forbidden":
        names = [str(name) for name in fields(locate(schema, loc[:-1]).schema)]
        names += beside if len(loc) == 1 else ()
        message = f"unknown key `{path[-1]}`"
        return Diagnostic.at(node.place, path, message, name=str(path[-1]), known=names)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_kind(error, path, wanted, node)
    if kind == "value_error":
        return _broken_rule(error, path, node)
    names = [str(name) for name in _candidates(error, wanted)]
    got = _got(node)
    message = error["msg"] if "candidates" in error.get("ctx", {}) else "this value is not accepted"
    name = node.value if isinstance(node.value, str) else ""
    expected = "" if names else _hint(error, description)
    return Diagnostic.at(
        node.origin, path, message, expected=expected, got=got, name=name, known=names
    )


def _wrong_kind(error: ErrorDetails, path: KeyPath, union: Schema, node: Node) -> Diagnostic:
    field = _discriminator(error)
    names = [str(name) for name in union.get("choices", ())]
    tag = node.child(field)
    if tag is None:
        message = f"the key `{field}` is missing"
        return Diagnostic.at(node.place, (*path, field), message, known=names)
    name = tag.value if isinstance(tag.value, str) else ""
    message = f"unknown {field} {name!r}" if name else f"the `{field}` is not a text"
    return Diagnostic.at(tag.origin, (*path, field), message, got=_got(tag), name=name, known=names)


def _broken_rule(error: ErrorDetails, path: KeyPath, node: Node) -> Diagnostic:
    """Place a rule between several keys at the first key of the mapping that its message names."""
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    entries = node.value if isinstance(node.value, dict) else {}
    for word in re.findall(r"\w+", message):
        if word in entries:
            return Diagnostic.at(entries[word].origin, (*path, word), message)
    place = node.place if entries else node.origin
    return Diagnostic.at(place, path, message)


def _candidates(error: ErrorDetails, wanted: Schema) -> list[Any]:
    """Return the names that would be right, from the error or from the schema's literals."""
    stated: list[Any] = list(error.get("ctx", {}).get("candidates", ()))
    return stated or list(wanted.get("expected", ()))


def _hint(error: ErrorDetails, description: str) -> str:
    """Say what was wanted, in pydantic's words without their opening."""
    if error["type"] == "string_pattern_mismatch":
        return description  # a pattern tells a machine; the field's description tells a person
    opening = r"^(Input|String|Value|List|Tuple|Dictionary) should (be |have )?"
    words = re.sub(r" after validation, not \d+$", "", re.sub(opening, "", error["msg"]))
    return (
        words.replace("an object", "a mapping")
        .replace("a valid string", "a text")
        .replace("a valid array", "a list")
    )


def _type_words(wanted: Schema) -> str:
    names = {
        "str": "a text",
        "int": "an integer",
        "float": "a number",
        "bool": "true or false",
        "model-fields": "a mapping",
        "tuple": "a list",
        "list": "a list",
    }
    if wanted["type"] == "tagged-union":
        return f"a mapping whose `kind` is one of {', '.join(map(str, wanted['choices']))}"
    if wanted["type"] == "literal":
        return f"one of {', '.join(map(str, wanted['expected']))}"
    return names.get(wanted["type"], "a value")


def _got(node: Node) -> str:
    value = node.value
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_GOT else text[: _LONGEST_GOT - 3] + "..."


def texts(tree: Node) -> Iterator[tuple[KeyPath, Node, str]]:
    """Yield every text of a tree with its path and node."""
    for path, node in tree.walk():
        if isinstance(node.value, str):
            yield path, node, node.value
