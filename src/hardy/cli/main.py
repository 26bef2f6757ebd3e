"""The `hardy` command: finds the verb, and turns errors into messages and exit statuses."""

import importlib
import os
import re
import shlex
import sys
from collections.abc import Sequence
from time import sleep
from typing import IO, Any, NoReturn

import click
from click.shell_completion import CompletionItem

from hardy import __version__
from hardy.core.catalog import did_you_mean
from hardy.core.errors import HardyError

VERBS: dict[str, tuple[str, str]] = {
    "list": ("hardy.cli.list", "List experiments, datasets, methods, shifts, views or metrics."),
    "show": ("hardy.cli.show", "Print a spec as it resolves, or what tells two apart."),
    "validate": ("hardy.cli.validate", "Check specs; show every fault with its place."),
    "schema": ("hardy.cli.schema", "Write the JSON schema that editors complete specs with."),
    "plan": ("hardy.cli.plan", "Show what a run would do, what is done already, and the cost."),
    "run": ("hardy.cli.run", "Run an experiment and track it in MLflow."),
    "resume": ("hardy.cli.resume", "Go on with a run that was stopped or failed."),
    "reproduce": ("hardy.cli.reproduce", "Run again what a run was; say whether it drifted."),
    "data": ("hardy.cli.data", "Check a dataset, or draw a contact sheet of it."),
    "predict": ("hardy.cli.predict", "Ask a registered model about images."),
    "embed": ("hardy.cli.embed", "Write the features of images by a model, as parquet."),
    "promote": ("hardy.cli.promote", "Let a policy decide which version is the champion."),
    "cache": ("hardy.cli.cache", "Show, bound or empty what is kept on disk for other runs."),
    "doctor": ("hardy.cli.doctor", "List what killed processes left; with --clean, mend it."),
    "ui": ("hardy.cli.ui", "Open MLflow's pages on the default store."),
    "completion": ("hardy.cli.completion", "Print the script for completion in a shell."),
}
"""Verb -> (module whose `command` it is, its line in the listing)."""

INTERRUPTED = 130
_RANK_0_SECONDS = 15.0
_ASSIGNMENT = re.compile(r"[A-Za-z_][\w.]*=")


class Verbs(click.Group):
    """A group whose verbs are imported when they are used, and no sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's module and return its `command`."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one is told what it looks like."""
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            message = f"there is no verb {name!r}"
            near = did_you_mean(name, VERBS)
            ctx.fail(f"{message}. {near}" if near else message)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Complete verbs from the table, without importing them, and options."""
        found = [
            CompletionItem(verb, help=line)
            for verb, (_, line) in VERBS.items()
            if verb.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hardy")
def cli() -> None:
    """Run declarative experiments that make vision models hold up under distribution shift.

    Example: hardy run quickstart
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status.

    Args:
        arguments: What follows `hardy`; by default the process's own arguments.
    """
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit status; no error leaves as a traceback.

    Of the processes that torchrun starts, the first one runs it; the others train along with it.
    """
    # Before torch is loaded. Threads that spin while they wait for each other lose tens of
    # milliseconds an operation where others, such as those that make views, want the core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return _run(arguments)
    if os.environ["RANK"] != "0":
        return _train_along()
    from hardy.engine.work import order

    status = _run(arguments)
    if not status:  # after a failure torchrun ends the others
        order(None)
    return status


def _train_along() -> int:
    """Train along with rank 0, and leave it to that to say what went wrong."""
    from hardy.engine.work import serve

    try:
        serve()
    except Exception as error:
        sleep(_RANK_0_SECONDS)  # torchrun ends this process as soon as rank 0 has told of it
        if not isinstance(error, HardyError):
            raise
        report(error)
        return error.exit_status
    return 0


def _run(arguments: list[str]) -> int:
    if "_HARDY_COMPLETE" in os.environ:
        importlib.import_module("hardy.cli.completion")  # click is to know our way with bash
    try:
        status = _status(cli.main(arguments, prog_name="hardy", standalone_mode=False))
        # A reader that went away is noticed here rather than when the interpreter ends.
        sys.stdout.flush()
    except HardyError as error:
        report(error)
        return error.exit_status
    except click.ClickException as error:
        error.show()
        _hint_at_overrides(error, arguments)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        abandon(sys.stdout)
        return 1
    except OSError as error:
        from hardy.core.disk import not_written

        told = not_written(error)
        if told is None:
            raise
        report(told)
        return told.exit_status
    return status


def _hint_at_overrides(error: click.ClickException, arguments: Sequence[str]) -> None:
    """Print the command that was meant where a value to override stands without its option."""
    context = getattr(error, "ctx", None)
    takes = context is not None and any("--set" in each.opts for each in context.command.params)
    stray = [each for each in arguments if _ASSIGNMENT.match(each) and each in error.message]
    if takes and stray:
        meant = [*arguments]
        for each in stray:
            place = meant.index(each)
            meant[place:place] = ["--set"]
        click.echo(f"hint: values are overridden by --set: hardy {shlex.join(meant)}", err=True)


def _status(result: Any) -> int:  # noqa: ANN401 - whatever a verb returns
    """Read what click gives back: the status of `ctx.exit`, else a verb's return value."""
    return result if isinstance(result, int) else 0


def report(error: HardyError) -> None:
    """Print an error and its hint to stderr; where nobody reads that, print nothing."""
    # Imported late: the diagnostics are of use to a failing spec alone.
    from hardy.spec.diagnostics import Diagnostics

    try:
        if isinstance(error, Diagnostics):
            click.echo(error.render(color=coloured(sys.stderr)), err=True, color=True)
        else:
            click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
    except BrokenPipeError:
        abandon(sys.stderr)


def coloured(stream: IO[str]) -> bool:
    """Tell whether to write colours: on a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def abandon(stream: IO[str]) -> None:
    """Point a broken stream at nothing, so that the interpreter's last flush is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
