"""`hardy completion`: the script that makes a shell complete hardy's words."""

import os
from typing import Any, ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

VARIABLE = "_HARDY_COMPLETE"


@add_completion_class
class HardyBash(BashComplete):
    """Bash, which takes `a.b=c` apart at `=`: put together to be read, taken apart to be shown."""

    # A value follows `=` at once.
    source_template: ClassVar[str] = BashComplete.source_template.replace(
        "COMPREPLY+=($value)",
        "COMPREPLY+=($value)\n            [[ $value == *= ]] && compopt -o nospace",
    )
    _kept = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor and the word at it, with `=` back in place."""
        words = split_arg_string(os.environ["COMP_WORDS"])
        place = int(os.environ["COMP_CWORD"])
        whole: list[str] = []
        glued = False
        for word in [*words[1:place], words[place] if place < len(words) else ""]:
            equals = set(word) == {"="}
            if whole and (glued or equals):
                whole[-1] += word
            else:
                whole.append(word)
            glued = equals
        *before, current = whole or [""]
        self._kept = current[: current.rfind("=") + 1]
        return before, current

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return an item without what bash keeps of the word, up to its last `=`."""
        # After `--set=`, click completes what follows it alone.
        for kept in (self._kept, self._kept.partition("=")[2]):
            if kept and item.value.startswith(kept):
                return f"{item.type},{item.value.removeprefix(kept)}"
        return f"{item.type},{item.value}"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes verbs, names, dotted paths and run ids in SHELL.

    For bash, put this line into ~/.bashrc: eval "$(hardy completion bash)"
    For zsh, into ~/.zshrc: eval "$(hardy completion zsh)"
    For fish: hardy completion fish > ~/.config/fish/completions/hardy.fish

    Example: hardy completion bash
    """
    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if kind is not None:
        click.echo(kind(root, {}, "hardy", VARIABLE).source())
