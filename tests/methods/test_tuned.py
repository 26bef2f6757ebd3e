"""Which parts learn, and which of those that learn without parameters come to rest."""

from collections import OrderedDict

import pytest
from torch import nn

from hardy.core.errors import SpecError
from hardy.methods.tuned import moving, rests, tuned, tuned_parameters
from hardy.models.segmenters.codebook import Codebook


def network():
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 4, 1),
            bare=nn.BatchNorm2d(4, affine=False),
            norm=nn.BatchNorm2d(4),
            act=nn.ReLU(),
            codes=Codebook(5, 4),
            learned=Codebook(5, 4, learned=True),
        )
    )


def resting(whole):
    return {name for name, part in whole.named_modules() if rests(part)}


def test_parts_move_without_parameters_where_they_have_buffers_alone():
    assert set(moving(network())) == {"bare", "codes"}


@pytest.mark.parametrize(
    ("tune", "still"),
    [
        ("all", set()),
        (["conv.*"], {"bare", "codes"}),
        (["conv.*", "codes.*"], {"bare"}),
        (["norm.weight", "bare.running_mean"], {"codes"}),
    ],
)
def test_those_of_them_that_are_not_named_rest_while_it_lasts(tune, still):
    whole = network()
    with tuned(whole, tune):
        assert resting(whole) == still
    assert resting(whole) == set()


def test_what_did_not_learn_before_does_not_after():
    whole = network()
    whole.conv.bias.requires_grad_(False)
    with tuned(whole, ["conv.*"]):
        assert [n for n, p in whole.named_parameters() if p.requires_grad] == [
            "conv.weight",
            "conv.bias",
        ]
    assert not whole.conv.bias.requires_grad
    assert whole.norm.weight.requires_grad


def test_globs_that_fit_nothing_are_named_with_some_that_there_are():
    with pytest.raises(SpecError, match=r"no parameter is named by an empty list"):
        tuned_parameters(network(), ())
    with pytest.raises(SpecError, match=r"no parameter is named a\* or b\*$") as caught:
        tuned_parameters(network(), ("a*", "conv.*", "b*"))
    assert caught.value.hint == "Names look like conv.weight, conv.bias, norm.weight."
