from hardy.methods.base_spec import views_of
from hardy.methods.evaluate.spec import EvaluateSpec, SourceSpec
from tests.contracts.method import MethodContract, build_method


class TestEvaluate(MethodContract):
    answer = "evaluate"
    before = "evaluate"

    def build(self, model):
        return build_method(EvaluateSpec(), model)


class TestSource(MethodContract):
    answer = "source"

    def build(self, model):
        return build_method(SourceSpec(), model)


def test_needs_no_views_but_the_image():
    assert views_of(SourceSpec()) is None
