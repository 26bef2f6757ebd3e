"""What trials' weights come from: units that run beside the trials, each once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hardy.core.errors import HardyError, MethodError, TrackingError
from hardy.engine.pool import Pool, WorkerDied
from hardy.engine.unit import UnitJob, with_weights
from hardy.plan.tracker import Tracker
from hardy.plan.units import PlannedUnit, first

_MOST_DEATHS = 2


@dataclass
class Sources:
    """Hands units to the pool that other units' weights come from.

    Attributes:
        tracker: Where their runs are.
        pool: Runs them; their keys are below 0.
        parent: Id of the run to nest them under.
    """

    tracker: Tracker
    pool: Pool
    parent: str
    _made: dict[str, str] = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)
    _running: dict[int, PlannedUnit] = field(default_factory=dict)
    _deaths: dict[str, int] = field(default_factory=dict)
    _last: int = 0

    def ready(self, units: Sequence[PlannedUnit]) -> tuple[PlannedUnit, ...] | None:
        """Return units with all weights at hand; None where one must still be made: ask again.

        Raises:
            MethodError: If what one needs has failed.
        """
        missing = [each for each in first(units) if each.fingerprint not in self._made]
        for source in missing:
            if reason := self._failed.get(source.fingerprint):
                message = f"{source.unit.experiment.name}, whose weights it needs, failed: {reason}"
                raise MethodError(message)
        awaited = {each.fingerprint for each in (*missing, *self._running.values())}
        under_way = {each.fingerprint for each in self._running.values()}
        for source in missing:
            waits = any(each.fingerprint in awaited for each in source.needs.values())
            if not waits and source.fingerprint not in under_way:
                self._submit(source)
        if missing:
            return None
        return tuple(with_weights(each, self._made, self.tracker) for each in units)

    def _submit(self, source: PlannedUnit) -> None:
        self._last -= 1
        key = self._last
        self._running[key] = source
        whole = with_weights(source, self._made, self.tracker)
        self.pool.submit(key, UnitJob(whole, self.parent))

    def hear(self, key: int, result: object) -> None:
        """Take what came of one; a process that died is tried once more.

        Raises:
            TrackingError: If the store fails.
            BaseException: Of a stop.
        """
        source = self._running.pop(key)
        mark = source.fingerprint
        if isinstance(result, WorkerDied):
            self._deaths[mark] = self._deaths.get(mark, 0) + 1
            if self._deaths[mark] < _MOST_DEATHS:
                return  # whoever waits for it asks again
        if isinstance(result, TrackingError):
            raise result
        if isinstance(result, HardyError):
            self._failed[mark] = result.message
        elif isinstance(result, Exception):
            self._failed[mark] = repr(result)
        elif isinstance(result, BaseException):
            raise result
        elif isinstance(result, tuple):
            self._made[mark] = str(result[0])
