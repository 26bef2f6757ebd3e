"""Weights of other experiments: each with the values that it takes from the one that asks."""

from pathlib import Path

import pytest

from hardy.methods.evaluate.spec import SourceSpec
from hardy.spec import Diagnostics, resolve
from tests.plan.helpers import Asked

PLAIN = "extends: base/parts.yaml\n"
OWN = "model.weights"


@pytest.fixture
def chain(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretrain, adapt, and try under noise, by three seeds each; `source` stands for training."""
    monkeypatch.setattr(SourceSpec, "yields_weights", True)
    folder = project / "experiments"
    seeds = PLAIN + "method: {kind: source}\nmatrix: {seed: [0, 1, 2]}\n"
    (folder / "pretrain.yaml").write_text(seeds + "name: pretrain\nmodel: {weights: random}\n")
    taken = "{{from: 'experiment:{}', same: [seed]}}"
    (folder / "adapt.yaml").write_text(
        seeds + f"name: adapt\nmodel: {{weights: {taken.format('pretrain')}}}\n"
    )
    (folder / "noise.yaml").write_text(
        PLAIN + "name: noise\nmethod: {kind: source}\n"
        "data: {shift: {kind: gaussian_sigma}}\n"
        "matrix: {seed: [0, 1, 2], data.shift.sigma: [10.0, 20.0]}\n"
        f"model: {{weights: {taken.format('adapt')}}}\n"
    )
    return folder


@pytest.mark.usefixtures("chain")
def test_each_seed_has_a_chain_of_its_own() -> None:
    units = resolve("noise").units
    assert len(units) == 6
    for unit in units:
        adapt = unit.needs[OWN]
        pretrain = adapt.needs[OWN]
        seeds = {unit.experiment.seed, adapt.experiment.seed, pretrain.experiment.seed}
        assert seeds == {unit.choices["seed"]}
        assert not pretrain.needs
    assert len({id(unit.needs[OWN]) for unit in units}) == 3


@pytest.mark.usefixtures("chain")
def test_they_are_named_and_known_as_in_their_own_matrix() -> None:
    needed = {unit.needs[OWN].experiment.name for unit in resolve("noise").units}
    assert needed == {unit.experiment.name for unit in resolve("adapt").units}
    plans = [Asked().plan(resolve(name)) for name in ("noise", "adapt", "pretrain")]
    assert len(plans[0].needed) == 6
    own = {unit.fingerprint for plan in plans[1:] for unit in plan.units}
    assert {unit.fingerprint for unit in plans[0].needed} == own
    assert len(own) == 6
    assert len({unit.fingerprint for unit in plans[0].units}) == 6


@pytest.mark.usefixtures("chain")
def test_what_is_needed_itself_comes_before() -> None:
    done: set[str] = set()
    for unit in Asked().plan(resolve("noise")).needed:
        assert {source.fingerprint for source in unit.needs.values()} <= done
        done.add(unit.fingerprint)


def test_values_other_than_axes_are_taken_too(chain: Path) -> None:
    (chain / "one.yaml").write_text(PLAIN + "name: one\nmethod: {kind: source}\n")
    (chain / "use.yaml").write_text(
        PLAIN + "name: use\nseed: 4\ndata: {subset: {count: 3}, on_bad_sample: skip}\n"
        "model:\n  weights:\n    from: 'experiment:one'\n"
        "    same: [seed, data.subset, data.on_bad_sample]\n"
    )
    source = resolve("use").units[0].needs[OWN].experiment
    assert (source.name, source.seed, source.data.on_bad_sample) == ("one", 4, "skip")
    assert source.data.subset is not None
    assert source.data.subset.count == 3


def test_a_null_is_a_value(chain: Path) -> None:
    (chain / "one.yaml").write_text(
        PLAIN + "name: one\nmethod: {kind: source}\ndata: {subset: {count: 3}}\n"
    )
    (chain / "use.yaml").write_text(
        PLAIN + "name: use\nmodel: {weights: {from: 'experiment:one', same: [data.subset]}}\n"
    )
    assert resolve("use").units[0].needs[OWN].experiment.data.subset is None


MEMBERS = """\
name: pool
method:
  kind: ensemble
  members:
    - {name: own, method: {kind: source}}
    - name: other
      model: {kind: timm, name: resnet50, weights: {from: 'experiment:pretrain', same: [seed]}}
      method: {kind: source}
"""


def test_members_begin_with_weights_of_experiments(chain: Path) -> None:
    (chain / "pool.yaml").write_text(PLAIN + MEMBERS + "seed: 2\n")
    (unit,) = resolve("pool").units
    path = "method.members.1.model.weights"
    assert list(unit.needs) == [path]
    assert unit.needs[path].experiment.seed == 2
    (planned,) = Asked().plan(resolve("pool")).units
    assert list(planned.located) == [OWN, path]
    assert planned.located[path].identity == f"run:{planned.needs[path].fingerprint}"
    others = [Asked().plan(resolve("pool", [f"seed={seed}"])).units[0] for seed in (0, 1)]
    assert len({planned.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_a_fault_of_a_member_s_reference_stands_at_its_place(chain: Path) -> None:
    text = MEMBERS.replace("same: [seed]", "same: [data.shift.sigma]")
    (chain / "pool.yaml").write_text(PLAIN + text)
    with pytest.raises(Diagnostics) as caught:
        resolve("pool")
    (fault,) = caught.value.faults
    assert (fault.line, fault.path) == (8, "method.members.1.model.weights.same.0")
    assert fault.message == "this experiment has no `data.shift.sigma` that another could take"


@pytest.mark.usefixtures("chain")
def test_without_same_a_matrix_is_several_runs() -> None:
    with pytest.raises(Diagnostics) as caught:
        resolve("noise", ["model.weights={from: 'experiment:adapt'}"])
    (fault,) = caught.value.faults
    assert fault.path == "model.weights.from"
    assert fault.message == "'adapt' is 3 runs; weights come from one"
    assert fault.expected == "`same: [seed]`, or an experiment of one run"


def test_a_value_that_the_other_refuses_is_told_with_who_asks(chain: Path) -> None:
    (chain / "one.yaml").write_text(
        "name: one\ndata: {dataset: shapes, shapes: {count: 24}}\nmethod: {kind: source}\n"
        "model: {kind: timm, name: resnet50}\n"
    )
    (chain / "use.yaml").write_text(
        PLAIN + "name: use\nmodel: {weights: {from: 'experiment:one', same: [data.dataset]}}\n"
    )
    with pytest.raises(Diagnostics) as caught:
        resolve("use")
    (fault,) = caught.value.faults
    assert fault.message == "shapes says what to draw, but dataset imagenet-sample is not drawn"
    assert fault.note == "needed by experiments/use.yaml:3"


def test_a_circle_through_values_is_named(chain: Path) -> None:
    text = (chain / "pretrain.yaml").read_text()
    (chain / "pretrain.yaml").write_text(
        text.replace("weights: random", "weights: {from: 'experiment:adapt', same: [seed]}")
    )
    with pytest.raises(Diagnostics, match="the weights make a circle: adapt -> pretrain -> adapt"):
        resolve("noise")


@pytest.mark.usefixtures("chain")
def test_what_is_taken_is_part_of_the_fingerprint_but_how_its_source_is_found_is_not() -> None:
    def mark(weights: str) -> str:
        plan = Asked().plan(resolve("adapt", ["seed=1", f"model.weights={weights}"]))
        return plan.units[0].fingerprint

    plain = mark("{from: 'experiment:pretrain', same: [seed]}")
    (file := Path("experiments/other.yaml")).write_text(
        Path("experiments/pretrain.yaml").read_text() + "\nseed: 1\n"
    )
    file.write_text(file.read_text().replace("matrix: {seed: [0, 1, 2]}\n", ""))
    assert mark("experiment:other") == plain
    taken = {
        mark(f"{{from: 'experiment:pretrain', same: [seed], {option}}}")
        for option in ("take: network.a", "take: b", "into: a", "partial: true", "names: {a: b}")
    }
    assert len(taken) == 5
    assert plain not in taken
    assert mark("{from: 'experiment:pretrain', same: [seed], partial: false}") == plain
