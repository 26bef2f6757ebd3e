"""Every error that hardy raises on purpose.

    HardyError                 says where, what is wrong, what was got; `hint` says what to do
    ├── SpecError              a spec, an override or a command line is wrong (exit status 2)
    ├── DataError              a dataset is absent, has another layout, or holds a broken file
    ├── WeightsError           weights are absent, damaged, or do not fit the model
    ├── MethodError            a method met numbers it cannot go on with
    ├── TrackingError          the MLflow store cannot be reached or is inconsistent
    │   └── ArtifactAbsent     it was reached, and a run of it has no such file
    ├── RegistryError          a model, version or alias is absent or a policy is broken
    └── Interrupted            the user or the system stopped a run (exit status 130, 141 or 143)

The command line prints `message` and `hint` and exits with `exit_status`; a traceback is a bug.
"""


class HardyError(Exception):
    """Base of all errors a user can meet.

    Args:
        message: One sentence: where, what is wrong, what was got.
        hint: What to do about it; printed after the message.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecError(HardyError):
    """A spec file, an override or a command line is wrong."""

    exit_status = 2


class DataError(HardyError):
    """A dataset is absent, has another layout than stated, or holds a broken file."""


class WeightsError(HardyError):
    """Weights are absent, damaged, refused as unsafe, or do not fit the model."""


class MethodError(HardyError):
    """A method met numbers it cannot go on with."""


class TrackingError(HardyError):
    """The MLflow tracking store cannot be reached or is inconsistent."""


class ArtifactAbsent(TrackingError):
    """A run has no artifact of that name; the store itself answered."""


class RegistryError(HardyError):
    """A registered model, version or alias is absent, or a policy cannot be applied."""


class Interrupted(HardyError):
    """The user (Ctrl-C), the system (SIGTERM) or who read what it said (SIGPIPE) stopped a run.

    Args:
        signal_number: 2, 15 or 13 for these; the exit status is 128 plus it.
        hint: The command that goes on.
    """

    def __init__(self, signal_number: int, *, hint: str = "") -> None:
        name = {2: "SIGINT", 13: "SIGPIPE", 15: "SIGTERM"}.get(
            signal_number, f"signal {signal_number}"
        )
        super().__init__(f"stopped by {name}", hint=hint)
        self.exit_status = 128 + signal_number
