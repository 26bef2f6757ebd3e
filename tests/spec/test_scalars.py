import math

import pytest

from hardy.spec.scalars import read_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # The example of YAML 1.2's section 10.3.2, and what YAML 1.1 read otherwise.
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("nil", "nil"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("0", 0),
        ("-19", -19),
        ("+7", 7),
        ("0o7", 7),
        ("0o17", 15),
        ("0x3A", 58),
        ("017", 17),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2001-12-14", "2001-12-14"),
        ("0.", 0.0),
        (".5", 0.5),
        ("+12e03", 12000.0),
        ("-2E+05", -200000.0),
        ("1e-3", 0.001),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("+.INF", math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
    ],
)
def test_the_core_schema(text: str, value: object) -> None:
    read = read_scalar(text)
    assert read == value
    assert type(read) is type(value)


def test_not_a_number() -> None:
    read = read_scalar(".nan")
    assert isinstance(read, float)
    assert math.isnan(read)


def test_a_number_beyond_reason_is_refused() -> None:
    assert read_scalar("1" * 100) == int("1" * 100)
    with pytest.raises(ValueError, match="101 characters"):
        read_scalar("1" * 101)
