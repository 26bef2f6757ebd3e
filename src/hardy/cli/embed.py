"""`hardy embed`: the features of images by a spec's model, or by a registered one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hardy.cli.complete import complete_spec
from hardy.cli.predict import find_images
from hardy.cli.run import SET
from hardy.core.errors import SpecError, WeightsError
from hardy.spec import resolve

if TYPE_CHECKING:
    from hardy.engine.embed import Embedding

_SHOWN = 10


@click.command()
@click.argument(
    "targets", metavar="SPEC | IMAGES...", nargs=-1, required=True, shell_complete=complete_spec
)
@click.option(
    "--model",
    metavar="URI",
    help="models:/NAME@ALIAS or models:/NAME/VERSION, which looks at IMAGES.",
)
@SET
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet file to write.",
)
@click.option(
    "--batch", type=click.IntRange(1, 4096), default=32, show_default=True, help="Images at once."
)
def command(
    targets: tuple[str, ...], model: str | None, overrides: tuple[str, ...], out: Path, batch: int
) -> None:
    """Write what a model's head is given: a row an image, with id, label and features.

    SPEC is an experiment of one run: its model looks at its data, under its shift, without its
    method. With --model, IMAGES are files, or folders of files. Broken images are named and left
    out.

    Example: hardy embed quickstart --set data.shift.kind=fog --out features.parquet
    """
    if model is None:
        if len(targets) != 1:
            message = "give one SPEC, or --model and images"
            raise click.UsageError(message)
        asked = _of_spec(targets[0], overrides)
    else:
        if overrides:
            message = "--set is for a SPEC; a registered model is what it is"
            raise click.UsageError(message)
        asked = _of_model(model, find_images(tuple(map(Path, targets))))
    from hardy.engine.embed import write
    from hardy.engine.progress import Reporter

    reporter = Reporter()
    with reporter.showing(1):
        bad = write(asked, out, reporter, batch=batch)
    for each in bad[:_SHOWN]:
        click.echo(f"left out: {each.id}: {each.reason}", err=True)
    if len(bad) > _SHOWN:
        click.echo(f"left out: {len(bad) - _SHOWN} more", err=True)
    rows = len(asked.pipeline) - len(bad)
    click.echo(f"{rows} images{f', {len(bad)} left out' if bad else ''}: {out}")


def _of_spec(spec: str, overrides: tuple[str, ...]) -> "Embedding":
    """Find a spec's model and data.

    Raises:
        SpecError: If it is several runs.
        WeightsError: If another experiment is to yield the weights, and has not been run.
    """
    resolved = resolve(spec, overrides)
    if len(resolved.units) != 1:
        message = f"{spec} is {len(resolved.units)} runs; features are of one"
        axes = " ".join(f"--set {axis}=VALUE" for axis in resolved.matrix)
        raise SpecError(message, hint=f"State one value an axis: {axes}" if axes else "")
    from hardy.engine.embed import of_unit
    from hardy.engine.unit import with_weights
    from hardy.plan.units import make_plan
    from hardy.registry.stores import default_stores
    from hardy.tracking.mlflow_tracker import MlflowTracker

    needs = any(unit.needs for unit in resolved.units)
    tracker = MlflowTracker() if needs else None  # the store is met where weights lie in it
    (unit,) = make_plan(resolved, default_stores(), tracker).units
    absent = [source for source in unit.needs.values() if not source.reusable]
    if absent:
        name = absent[0].unit.experiment.name
        message = f"the weights of {unit.unit.experiment.name} are {name}'s, which was not run yet"
        raise WeightsError(message, hint=f"Run it first: hardy run {name}")
    return of_unit(with_weights(unit, {}, tracker) if tracker else unit)


def _of_model(uri: str, files: list[Path]) -> "Embedding":
    from lightning_fabric import Fabric

    from hardy.engine.embed import of_files
    from hardy.registry.load import load

    found = load(uri)
    fabric = Fabric(accelerator=found.device.type, devices=1, precision=found.card.precision)
    facts = {
        "model": uri,
        "weights": f"sha256:{found.card.weights_sha256}",
        "precision": found.card.precision,
    }
    return of_files(files, found.model, fabric, facts)
