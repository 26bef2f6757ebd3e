"""How far the work is: bars on a terminal, plain lines elsewhere."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hardy.engine.signals import Stopped

_LINE_SECONDS = 10.0


class _Watched(Console):
    """A console whose reader may go away, as `head` does: that stops the run, and is no failure."""

    def on_broken_pipe(self) -> None:
        """Say no more, and stop what is running."""
        self.quiet = True
        raise Stopped(signal.SIGPIPE)


class _Display:
    """What all who report at a time draw on.

    Attributes:
        console: Where to draw.
        bars: The bars while they are shown; None elsewhere than on a terminal.
        units: The bar of units.
        samples: The bars of samples, one for each who reports.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: Progress | None = None
        self.units: TaskID | None = None
        self.samples: dict[Reporter, TaskID] = {}

    def bar(self, reporter: "Reporter") -> tuple[Progress, TaskID] | None:
        """Return the bars, and which of them is a reporter's; None where lines are printed."""
        if self.bars is None:
            return None
        if reporter not in self.samples:
            self.samples[reporter] = self.bars.add_task("samples", total=None, news="")
        return self.bars, self.samples[reporter]


class Reporter:
    """Shows two levels of progress: units, and the samples or epochs of the current one.

    Args:
        console: Where to draw; bars only if it is a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._display = _Display(console or _Watched(stderr=True))
        self._title = ""
        self._total = 0
        self._said = 0.0

    @property
    def console(self) -> Console:
        """Where it draws."""
        return self._display.console

    def beside(self) -> "Reporter":
        """Return one more reporter on the same display, for a unit that runs at the same time."""
        other = Reporter(self.console)
        other._display = self._display
        return other

    @contextmanager
    def showing(self, units: int) -> Iterator[None]:
        """Show progress over so many units while the context lasts."""
        if not self.console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[news]}"),
        )
        display = self._display
        with Progress(*columns, console=self.console) as display.bars:
            display.units = display.bars.add_task("units", total=units, news="")
            try:
                yield
            finally:
                for task in display.samples.values():
                    display.bars.remove_task(task)
                display.samples.clear()
        display.bars = None

    def say(self, line: str) -> None:
        """Print one line above the bars."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def unit(self, title: str, total: int, done: int = 0, *, what: str = "samples") -> None:
        """Begin a unit of `total` samples, or of `what`, of which `done` were carried over."""
        self._title, self._total, self._said = title, total, monotonic()
        if shown := self._display.bar(self):
            bars, mine = shown
            bars.reset(mine, total=total, completed=done, description=title, news="")
        else:
            carried = f", {done} carried over" if done else ""
            self.say(f"{title}: {total} {what}{carried}")

    def sample(self, done: int, news: str) -> None:
        """Say that `done` samples of the unit are done, and the latest news of them."""
        if shown := self._display.bar(self):
            bars, mine = shown
            bars.update(mine, completed=done, news=news)
        elif monotonic() - self._said >= _LINE_SECONDS or done == self._total:
            self._said = monotonic()
            self.say(f"{self._title}: {done}/{self._total}  {news}")

    def unit_done(self) -> None:
        """Say that one unit is done."""
        if self._display.bars is not None and self._display.units is not None:
            self._display.bars.advance(self._display.units)
