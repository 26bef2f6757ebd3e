"""`hardy promote`: let a version compete for a policy's alias, or undo that."""

import click

from hardy.spec import load_policy


@click.command()
@click.argument("policy")
@click.option("--version", metavar="N", help="Version or alias to judge [default: the newest].")
@click.option("--dry-run", is_flag=True, help="Print the verdict; change nothing.")
@click.option("--undo", is_flag=True, help="Give the alias back to the version before.")
@click.pass_context
def command(
    context: click.Context, policy: str, version: str | None, dry_run: bool, undo: bool
) -> None:
    """Judge a version by the gates of POLICY (registry/POLICY.yaml) and promote it if all hold.

    Exit status 0 if the version holds the alias (or may, in a dry run), 1 if a gate failed.

    Example: hardy promote imagenet-robust --version 3 --dry-run
    """
    if undo and (version is not None or dry_run):
        message = "--undo goes with neither --version nor --dry-run"
        raise click.UsageError(message)
    rules = load_policy(policy)  # a bad policy fails here, before MLflow is imported

    from hardy.registry.promote import demote, promote

    if undo:
        back = demote(rules)
        holder = f"version {back} is {rules.alias} again" if back else f"nobody is {rules.alias}"
        click.echo(f"{rules.model}: {holder}")
        return
    verdict = promote(rules, version, dry_run=dry_run)
    click.echo("\n".join(verdict.lines()))
    context.exit(0 if verdict.is_holder or verdict.passed else 1)
