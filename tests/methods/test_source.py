from hardy.methods.base_spec import views_of
from hardy.methods.source.spec import SourceSpec
from tests.contracts.method import MethodContract, build_method


class TestSource(MethodContract):
    answer = "source"

    def build(self, model):
        return build_method(SourceSpec(), model)


def test_needs_no_views_but_the_image():
    assert views_of(SourceSpec()) is None
