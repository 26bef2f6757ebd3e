"""How far the work is: bars on a terminal, plain lines elsewhere."""

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

_LINE_SECONDS = 10.0


class Reporter:
    """Shows two levels of progress: units, and the samples or epochs of the current one.

    Args:
        console: Where to draw; bars only if it is a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bars: Progress | None = None
        self._units: TaskID | None = None
        self._samples: TaskID | None = None
        self._title = ""
        self._total = 0
        self._said = 0.0

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
        with Progress(*columns, console=self.console) as self._bars:
            self._units = self._bars.add_task("units", total=units, news="")
            self._samples = self._bars.add_task("samples", total=None, news="")
            try:
                yield
            finally:
                self._bars.remove_task(self._samples)
        self._bars = None

    def say(self, line: str) -> None:
        """Print one line above the bars."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def unit(self, title: str, total: int, done: int = 0, *, what: str = "samples") -> None:
        """Begin a unit of `total` samples, or of `what`, of which `done` were carried over."""
        self._title, self._total, self._said = title, total, monotonic()
        if self._bars is not None and self._samples is not None:
            self._bars.reset(self._samples, total=total, completed=done, description=title, news="")
        else:
            carried = f", {done} carried over" if done else ""
            self.say(f"{title}: {total} {what}{carried}")

    def sample(self, done: int, news: str) -> None:
        """Say that `done` samples of the unit are done, and the latest news of them."""
        if self._bars is not None and self._samples is not None:
            self._bars.update(self._samples, completed=done, news=news)
        elif monotonic() - self._said >= _LINE_SECONDS or done == self._total:
            self._said = monotonic()
            self.say(f"{self._title}: {done}/{self._total}  {news}")

    def unit_done(self) -> None:
        """Say that the current unit is done."""
        if self._bars is not None and self._units is not None:
            self._bars.advance(self._units)
