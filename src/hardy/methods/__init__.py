"""One folder a method. To add one: its folder, and its schema in the tuple below."""

from typing import TYPE_CHECKING

from hardy.core.spec import one_of
from hardy.methods.base_spec import MethodBase
from hardy.methods.byol.spec import ByolSpec
from hardy.methods.contrastive.spec import ContrastiveSpec
from hardy.methods.ensemble.spec import EnsembleSpec
from hardy.methods.evaluate.spec import EvaluateSpec, SourceSpec
from hardy.methods.knn.spec import KnnSpec
from hardy.methods.linear_probe.spec import LinearProbeSpec
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.memo_plus.spec import MemoPlusSpec
from hardy.methods.supervised.spec import SupervisedSpec
from hardy.methods.tpt.spec import TptSpec
from hardy.methods.view_ensemble.spec import ViewEnsembleSpec

METHODS: tuple[type[MethodBase], ...] = (
    SourceSpec,
    EvaluateSpec,
    ViewEnsembleSpec,
    MemoSpec,
    MemoPlusSpec,
    TptSpec,
    EnsembleSpec,
    ContrastiveSpec,
    SupervisedSpec,
    LinearProbeSpec,
    KnnSpec,
    ByolSpec,
)

if TYPE_CHECKING:
    MethodSpec = MethodBase
else:
    MethodSpec = one_of(METHODS)
