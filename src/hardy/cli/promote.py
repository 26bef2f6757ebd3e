"""`hardy promote`: let a version compete for a policy's alias, or undo that."""

import sys
from typing import TYPE_CHECKING

import click

from hardy.core.errors import RegistryError
from hardy.registry.spec import Policy
from hardy.spec import load_policy

if TYPE_CHECKING:
    from hardy.registry.history import Undo


@click.command()
@click.argument("policy")
@click.option("--version", metavar="N", help="Version or alias to judge [default: the newest].")
@click.option("--dry-run", is_flag=True, help="Say what would come of it; change nothing.")
@click.option("--undo", is_flag=True, help="Give the alias back to the version before.")
@click.option("--yes", is_flag=True, help="Undo the first promotion, too, without being asked.")
@click.pass_context
def command(
    context: click.Context, policy: str, version: str | None, dry_run: bool, undo: bool, yes: bool
) -> None:
    """Judge a version by the gates of POLICY (registry/POLICY.yaml) and promote it if all hold.

    Exit status 0 if the version holds the alias (or may, in a dry run), 1 if a gate failed. Each
    --undo goes one holder further back; that of the first holder asks, for nobody comes before it.

    Example: hardy promote imagenet-robust --version 3 --dry-run
    """
    if undo and version is not None:
        message = "--undo and --version do not go together"
        raise click.UsageError(message)
    if yes and not undo:
        message = "--yes goes with --undo alone"
        raise click.UsageError(message)
    rules = load_policy(policy)  # a bad policy fails here, before MLflow is imported
    if undo:
        _undo(rules, dry_run=dry_run, yes=yes)
        return

    from hardy.registry.promote import promote

    verdict = promote(rules, version, dry_run=dry_run)
    click.echo("\n".join(verdict.lines()))
    context.exit(0 if verdict.is_holder or verdict.passed else 1)


def _undo(rules: Policy, *, dry_run: bool, yes: bool) -> None:
    """Give the alias back, or say to whom.

    Raises:
        RegistryError: If nobody would hold it then, and nobody agrees to that.
    """
    from hardy.registry.promote import demote, last_step

    step = last_step(rules)
    if dry_run:
        click.echo(_said(rules, step, "would be"))
        return
    if step.back_to is None and not yes:
        _ask(rules, step)
    click.echo(_said(rules, demote(rules, step), "is"))


def _said(rules: Policy, step: "Undo", verb: str) -> str:
    if step.back_to is None:
        return f"{rules.model}: nobody {verb} {rules.alias}"
    gone = f" ({', '.join(step.deleted)} before it: deleted)" if step.deleted else ""
    again = f"version {step.back_to} {verb} {rules.alias} again"
    return f"{rules.model}: {again}, in place of version {step.holder}{gone}"


def _ask(rules: Policy, step: "Undo") -> None:
    first = f"version {step.holder} is the first {rules.alias} of {rules.model}: without it, nobody"
    question = f"{first} is. Undo its promotion?"
    if not (sys.stdin.isatty() and click.confirm(question, err=True)):
        message = f"{first} is; nothing was changed"
        raise RegistryError(message, hint="Add --yes to undo it all the same.")
