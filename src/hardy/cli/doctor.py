"""`hardy doctor`: what processes that died left behind, and how to be rid of it."""

import click

from hardy.tracking.leftovers import clean, leftovers


@click.command(name="doctor")
@click.option("--clean", "wanted", is_flag=True, help="End these runs, delete these files.")
@click.pass_context
def command(context: click.Context, wanted: bool) -> None:
    """List what dead processes left: runs that are RUNNING, unfinished models, torn files.

    What processes of this machine left is cleaned by the next `hardy run`, too; that of other
    machines, not heard of for an hour, by --clean alone. Exit status 1 if anything is left.

    Example: hardy doctor --clean
    """
    found = leftovers()
    if wanted:
        for line in clean(found):
            click.echo(line)
    for each in () if wanted else found:
        click.echo(each.line)
    if not found:
        click.echo("nothing is left over")
    elif not wanted:
        click.echo("hint: hardy doctor --clean", err=True)
        context.exit(1)
