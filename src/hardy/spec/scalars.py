"""How a plain scalar reads: the core schema of YAML 1.2, section 10.3.2."""

import re

from hardy.spec.node import Scalar

LONGEST_NUMBER = 100

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
NUMBER = re.compile(f"(?:{FLOAT.pattern}|{_OCTAL.pattern}|{_HEX.pattern})$")


def read_scalar(text: str) -> Scalar:
    """Return what a plain scalar means: `1e-3` is a number; `on`, `yes` and `12:30` are texts.

    Raises:
        ValueError: If a number has more than 100 characters.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if not NUMBER.match(text):
        return text
    if len(text) > LONGEST_NUMBER:
        message = f"a number of {len(text)} characters"
        raise ValueError(message)
    return _number(text)


def _number(text: str) -> int | float:
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text, 16)
    plain = text.lower()
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))
