"""`hardy schema`: the file that editors complete and check specs with."""

import json
import os
import tempfile
from pathlib import Path

import click

from hardy.core.paths import experiments_dir
from hardy.spec import json_schema


@click.command(name="schema")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the file is stale.")
def command(check: bool) -> None:
    """Write experiments/schema.json from the schemas in the code.

    Example: hardy schema --check
    """
    path = experiments_dir() / "schema.json"
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    fresh = path.is_file() and path.read_text(encoding="utf-8") == text
    if not fresh and check:
        click.echo("experiments/schema.json is stale; `hardy schema` writes it", err=True)
        click.get_current_context().exit(1)
    if not fresh:
        _write(path, text)
    click.echo("experiments/schema.json is fresh" if fresh else "wrote experiments/schema.json")


def _write(path: Path, text: str) -> None:
    """Replace a file at once: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".schema-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes the file private; this one is for all readers.
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
