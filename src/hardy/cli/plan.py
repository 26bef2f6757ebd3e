"""`hardy plan`: what a run would do and what it would cost, before it does it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from hardy.cli.columns import at_commas, terminal_width
from hardy.cli.complete import complete_override, complete_spec
from hardy.core.disk import free_bytes
from hardy.core.errors import SpecError
from hardy.core.spec import Spec
from hardy.engine.model_cost import model_cost
from hardy.plan.costs import Costs, UnitCost, order, price
from hardy.plan.foresee import faults, remarks
from hardy.plan.units import OWN_WEIGHTS, Plan, PlannedUnit, make_plan
from hardy.registry.stores import default_stores
from hardy.spec import Diagnostics, Resolved, check_policies, resolve
from hardy.spec.search.values import most_trials, where, words
from hardy.tracking import default_finder
from hardy.tracking.store import store_folder, tracking_uri

_UNKNOWN = "?"
_GUIDES = 12  # columns that the tree's lines take where it is deepest


@click.command()
@click.argument("spec", shell_complete=complete_spec)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value.",
    shell_complete=complete_override,
)
@click.option("--again", is_flag=True, help="Plan as if no finished run could be reused.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
def command(spec: str, overrides: tuple[str, ...], again: bool, as_json: bool) -> None:
    """Show the runs that SPEC leads to, which are already done, and what the others cost.

    Exits with 2 if a unit cannot run: its network's outputs are not the dataset's classes, the
    dataset lacks the task's truth, the machine the device, its weights are another network's, or
    the network does not take the input. A disk with less room than the runs need is noted.

    A model that was never measured on this machine is measured first, once, in seconds.

    Example: hardy plan quickstart --set data.shift.severity=5
    """
    resolved = resolve(spec, overrides)
    finder = default_finder()
    plan = make_plan(resolved, default_stores(), finder, again=again, absent_ok=True)
    costs = price(plan, model_cost, finder)
    refused = _refused(resolved)
    if as_json:
        click.echo(
            json.dumps({**_as_json(plan, costs), "refused": refused}, indent=1, ensure_ascii=False)
        )
    else:
        console = Console()
        console.print(_tree(plan, costs), highlight=False)
        said = [*_summary(plan, costs), *_search(plan, costs), *_room(costs)]
        for line in [*said, *(f"`hardy run` refuses: {each}" for each in refused)]:
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    if any(map(faults, order(plan))) or any(cost.refused for cost in costs.units):
        click.get_current_context().exit(SpecError.exit_status)


def _refused(resolved: Resolved) -> list[str]:
    """Say why `hardy run` would not begin, though there is a plan: what no policy would take."""
    try:
        check_policies(resolved)
    except Diagnostics as error:
        return [f"{f.file}:{f.line}: {f.path}: {f.message}" for f in error.faults]
    return []


def _tree(plan: Plan, costs: Costs) -> Tree:
    """Lay the units out below the experiments that they belong to, numbered as they run."""
    units = order(plan)
    places = {unit.fingerprint: place for place, unit in enumerate(units, start=1)}
    lines = [
        _branch(unit, cost, place, places)
        for place, (unit, cost) in enumerate(zip(units, costs.units, strict=True), start=1)
    ]
    first = len(plan.needed)
    tree = Tree(Text(f"{plan.resolved.name}: {_count(len(units), 'unit')}", style="bold"))
    _grow(tree, "needed first", lines[:first])
    for member in plan.resolved.members:
        _grow(tree, member.name, lines[first : first + len(member.units)])
        first += len(member.units)
    tree.children += lines[first:]
    return tree


def _grow(tree: Tree, title: str, branches: list[Tree]) -> None:
    """Add branches, below a title of their own if they are several."""
    if len(branches) > 1:
        tree = tree.add(Text(title, style="bold"))
    tree.children += branches


def _branch(unit: PlannedUnit, cost: UnitCost, place: int, places: dict[str, int]) -> Tree:
    absent = "".join(f"; {what}" for what in dict.fromkeys(map(_what, unit.absent)))
    tree = Tree(Text(f"{place}. {unit.unit.experiment.name}: {_state(unit)}{absent}"))
    for path, source in unit.needs.items():
        after = places.get(source.fingerprint)
        when = f"after {after}" if after else _state(source)
        whose = "" if path == OWN_WEIGHTS else f"{path}: "
        tree.add(Text(f"{whose}weights of {source.unit.experiment.name}: {when}"))
    for line in filter(None, (*faults(unit), cost.refused)):
        tree.add(Text(f"cannot run: {line}", style="red"))
    for line in remarks(unit):
        tree.add(Text(f"note: {line}", style="yellow"))
    if not unit.reusable:
        width = terminal_width()
        tree.add(Text(at_commas(_cost_line(cost), width and width - _GUIDES)))
    return tree


def _state(planned: PlannedUnit) -> str:
    past, mark = planned.past, planned.fingerprint[:12]
    if past is None:
        return f"to run ({mark})"
    if past.finished:
        return f"reuses run {past.run_id}, finished with the same fingerprint {mark}"
    if past.busy:
        return f"waits for run {past.run_id}, which another process is writing"
    return f"goes on in run {past.run_id}, unfinished with the same fingerprint {mark}"


def _what(absent: str) -> str:
    """Return what is absent, of a line that also says where to get it: `data absent`."""
    return absent.partition(":")[0]


def _cost_line(cost: UnitCost) -> str:
    return ", ".join(
        [
            f"{_number(cost.samples)} samples",
            f"{_number(cost.forward)} forward and {_number(cost.backward)} backward passes",
            _scaled(cost.flops, "FLOP"),
            f"about {_scaled(cost.memory_bytes, 'B')} of memory",
            f"about {_scaled(cost.disk_bytes, 'B')} on disk",
            _time(cost.seconds),
        ]
    )


def _summary(plan: Plan, costs: Costs) -> list[str]:
    units = order(plan)
    reused = sum(unit.reusable for unit in units)
    total = costs.total
    lines = [*_absent(units), f"{len(units) - reused} to run, {reused} reused"]
    if reused < len(units):
        lines.append(at_commas(f"total: {_cost_line(total)}", terminal_width()))
    for source in dict.fromkeys(c.seconds_from for c in costs.units if c.seconds):
        lines.append(f"time by {source}")
    lines += [f"not measured: {reason}" for reason in costs.unmeasured.values()]
    return lines


def _absent(units: Sequence[PlannedUnit]) -> list[str]:
    """Say what is absent, each thing once, with the units that need it where these are several."""
    found: dict[str, list[int]] = {}
    for place, unit in enumerate(units, start=1):
        for line in unit.absent:
            found.setdefault(line, []).append(place)
    return [
        line if len(units) == 1 else f"{line} (for {_ranges(places)} of the units)"
        for line, places in found.items()
    ]


def _ranges(places: Sequence[int]) -> str:
    """Write rising numbers as ranges: `1, 3 to 7`."""
    known = set(places)
    firsts = [n for n in places if n - 1 not in known]
    lasts = [n for n in places if n + 1 not in known]
    return ", ".join(
        str(first) if first == last else f"{first} to {last}"
        for first, last in zip(firsts, lasts, strict=True)
    )


def _search(plan: Plan, costs: Costs) -> list[str]:
    """Say of a search how its trials are chosen, and what they and the tests will cost."""
    search = plan.resolved.search
    if search is None or costs.trials is None or costs.tests is None:
        return []
    spec, seeds = search.spec, len(plan.units)
    count, tests = most_trials(spec), plan.tests[0]
    ends = [f"{spec.budget.minutes:g} min"] if spec.budget.minutes else []
    ends += [f"{spec.budget.samples:,} samples"] if spec.budget.samples else []
    pruner = f"pruner {_settings(spec.pruner)}" if spec.pruner else "no pruner"
    lines = [
        f"search: {_count(count, 'trial')} of {_count(seeds, 'run')} each"
        + "".join(f", or {end}" for end in ends)
        + f"; sampler {_settings(spec.sampler)}; {pruner}; {spec.ahead} under way at a time",
        *(f"  {path}: {words(each)}{where(each)}" for path, each in spec.space.items()),
        f"trials, each at the price of trial 0: {_cost_line(costs.trials)}",
        f"test on {_settings(spec.test_on)}, {_number(tests.samples['answer'].count)} samples: the "
        f"best trial and trial 0, {_count(seeds, 'run')} each: {_cost_line(costs.tests)}",
        *dict.fromkeys(f"test {line}" for test in plan.tests for line in test.absent),
    ]
    return [at_commas(line, terminal_width()) for line in lines]


def _room(costs: Costs) -> list[str]:
    """Say that the disk has less room than what the runs will leave there, about."""
    folder = store_folder(tracking_uri())
    free = free_bytes(folder) if folder else None
    parts = (costs.trials, costs.tests) if costs.trials else (costs.total,)
    needed = sum(part.disk_bytes or 0 for part in parts if part)
    if folder is None or free is None or needed <= free:
        return []
    return [
        f"note: {_scaled(free, 'B')} are free in {folder}, less than the {_scaled(needed, 'B')} "
        "that this leaves: make room, or set HARDY_HOME to a folder on a larger disk"
    ]


def _settings(spec: Spec) -> str:
    """Write a part of a spec on one line: its kind, then what else it states."""
    values = spec.model_dump(mode="json", exclude_none=True)
    kind = values.pop("kind", "")
    stated = ", ".join(f"{name} {str(value).lower()}" for name, value in values.items())
    return " ".join(filter(None, (kind, f"({stated})" if kind and stated else stated)))


def _search_json(plan: Plan, costs: Costs) -> dict[str, Any]:
    search = plan.resolved.search
    if search is None or costs.trials is None or costs.tests is None:
        return {}
    found = {
        **search.spec.model_dump(mode="json"),
        "own": dict(search.own),
        "trials": most_trials(search.spec),
        "runs": len(plan.units),
        "cost": _cost_json(costs.trials),
        "test": {
            "count": plan.tests[0].samples["answer"].count,
            "absent": plan.tests[0].absent,
            "cost": _cost_json(costs.tests),
        },
    }
    return {"search": found}


def _as_json(plan: Plan, costs: Costs) -> dict[str, Any]:
    return {
        "name": plan.resolved.name,
        "fingerprint": plan.fingerprint,
        "units": [
            _unit_json(unit, cost) for unit, cost in zip(order(plan), costs.units, strict=True)
        ],
        "total": _cost_json(costs.total),
        "unmeasured": costs.unmeasured,
        **_search_json(plan, costs),
    }


def _unit_json(unit: PlannedUnit, cost: UnitCost) -> dict[str, Any]:
    past = unit.past
    return {
        "name": unit.unit.experiment.name,
        "fingerprint": unit.fingerprint,
        "choices": unit.unit.choices,
        "state": _state(unit),
        "run": past.run_id if past else None,
        "reused": unit.reusable,
        "needs": {path: source.fingerprint for path, source in unit.needs.items()},
        "data": {
            "digest": unit.own.digest,
            "count": unit.own.count,
            "absent": unit.own.absent,
            "dataset": unit.unit.experiment.data.dataset,
        },
        "weights": unit.weights,
        "faults": [*faults(unit), *filter(None, (cost.refused,))],
        "remarks": remarks(unit),
        "cost": {**_cost_json(cost), "seconds_from": cost.seconds_from},
    }


def _cost_json(cost: UnitCost) -> dict[str, Any]:
    return {
        key: value for key, value in asdict(cost).items() if key not in ("seconds_from", "refused")
    }


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _number(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _scaled(value: float | None, unit: str) -> str:
    """Write a quantity with a prefix and three digits, such as `1.56 GB`."""
    if value is None:
        return f"{_UNKNOWN} {unit}"
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return f"{_UNKNOWN} s"
    if seconds < 60:
        return f"{seconds:.2g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
