"""One folder a method. To add one: its folder, and one entry in `METHODS`."""

from typing import Annotated, Union

from pydantic import Field

from hardy.methods.memo.spec import MemoSpec
from hardy.methods.source.spec import SourceSpec

METHODS = (SourceSpec, MemoSpec)

MethodSpec = Annotated[Union[METHODS], Field(discriminator="kind")]  # type: ignore[valid-type]  # noqa: UP007
