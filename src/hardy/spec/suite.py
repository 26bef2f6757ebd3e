"""`suite`: a file that lists experiments, to be run and compared as one."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from hardy.core.spec import Name, Spec
from hardy.spec.node import Node


class Member(Spec):
    """One experiment of a suite; in a file, a text alone is its name."""

    experiment: Annotated[
        str, Field(min_length=1, description="Experiment, by its name below experiments/.")
    ]
    set_: Annotated[
        tuple[str, ...],
        Field(alias="set", description="Overrides, such as method.steps=2."),
    ] = ()
    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9._-]*$",
            max_length=100,
            description="Appended to the experiment's name, to tell two members apart: small "
            "letters, digits, `.`, `_` and `-`, after a letter or digit.",
        ),
    ] = ""


class Suite(Spec):
    """Experiments that are run one after the other and compared in one table."""

    name: Name
    description: Annotated[str, Field(description="One line for listings.")] = ""
    suite: Annotated[
        tuple[Member, ...],
        Field(description="The experiments, in the order in which they run."),
    ]


def spelled_out(tree: Node) -> Node:
    """Return a suite's tree with each name that stands alone as a mapping of one key."""
    entries = tree.value if isinstance(tree.value, dict) else {}
    suite = entries.get("suite")
    if suite is None or not isinstance(suite.value, list):
        return tree
    members = [
        replace(item, value={"experiment": item}) if isinstance(item.value, str) else item
        for item in suite.value
    ]
    return replace(tree, value={**entries, "suite": replace(suite, value=members)})
