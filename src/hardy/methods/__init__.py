"""One folder a method. To add one: its folder, and its schema in the union below."""

from typing import Annotated, get_args

from pydantic import Field

from hardy.methods.memo.spec import MemoSpec
from hardy.methods.source.spec import SourceSpec

AnyMethod = SourceSpec | MemoSpec

METHODS: tuple[type[AnyMethod], ...] = get_args(AnyMethod)
MethodSpec = Annotated[AnyMethod, Field(discriminator="kind")]
