"""One folder a method. To add one: its folder, and its schema in the union below."""

from typing import Annotated, get_args

from pydantic import Field

from hardy.methods.contrastive.spec import ContrastiveSpec
from hardy.methods.ensemble.spec import EnsembleSpec
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.memo_plus.spec import MemoPlusSpec
from hardy.methods.source.spec import SourceSpec
from hardy.methods.tpt.spec import TptSpec
from hardy.methods.view_ensemble.spec import ViewEnsembleSpec

AnyMethod = (
    SourceSpec
    | ViewEnsembleSpec
    | MemoSpec
    | MemoPlusSpec
    | TptSpec
    | EnsembleSpec
    | ContrastiveSpec
)

METHODS: tuple[type[AnyMethod], ...] = get_args(AnyMethod)
MethodSpec = Annotated[AnyMethod, Field(discriminator="kind")]
