import pytest

from hardy.core.catalog import Catalog, did_you_mean, suggest
from hardy.core.errors import SpecError


def test_lookup_and_order():
    catalog = Catalog("thing", [("b", 1), ("a", 2)])
    assert list(catalog) == ["b", "a"]
    assert catalog["a"] == 2
    assert "c" not in catalog


def test_an_unknown_name_suggests_near_ones():
    catalog = Catalog("dataset", [("imagenet-a", 1), ("cifar10", 2)])
    with pytest.raises(SpecError, match="no dataset 'imagnet_a'") as caught:
        catalog["imagnet_a"]
    assert "'imagenet-a'" in caught.value.hint


def test_an_unknown_name_far_from_all_lists_them():
    with pytest.raises(SpecError) as caught:
        Catalog("dataset", [("imagenet-a", 1)])["zzz"]
    assert "imagenet-a" in caught.value.hint


def test_a_name_given_twice_is_refused():
    with pytest.raises(ValueError, match="two entries"):
        Catalog("thing", [("a", 1), ("a", 2)])


def test_hyphens_underscores_and_case_do_not_matter_to_suggestions():
    assert suggest("Gaussian-Noise", ["gaussian_noise", "glass_blur"])[0] == "gaussian_noise"
    assert did_you_mean("qqq", ["gaussian_noise"]) == ""
