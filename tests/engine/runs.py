"""A run that keeps what it is given, in place of a store's; and a planned unit set up."""

from safetensors.torch import load_file

from hardy.engine.setup import set_up
from hardy.engine.signals import Stopped
from hardy.measure.drift import is_time


class KeptRun:
    """Keeps metrics by step and artifacts by path.

    Args:
        run_id: Its id.
        stop_at: Epoch whose metrics stop it; 0 for none.
    """

    def __init__(self, run_id="run", stop_at=0):
        self.run_id = run_id
        self.stop_at = stop_at
        self.steps, self.points, self.values, self.files, self.datasets = {}, {}, {}, {}, []

    def metrics(self, values, step=0):
        if "step/loss" in values:
            self.points[step] = dict(values)
        elif step:
            if step == self.stop_at:
                raise Stopped(2)
            self.steps[step] = dict(values)
        else:
            self.values |= values

    def last_step(self, metric):
        return max(self.points if metric == "step/loss" else self.steps, default=0)

    def artifact(self, file, path):
        tensors = file.suffix == ".safetensors"
        self.files[path] = load_file(file) if tensors else file.read_bytes()

    def text(self, content, path):
        self.files[path] = content

    def dataset(self, name, digest, source, context):
        self.datasets.append((name, context))

    def tags(self, values):
        self.tagged = dict(values)

    def flush(self, *, wait=True):
        return True


def untimed(steps):
    """Return measures by step without those that say how long something took."""
    return {
        n: {name: v for name, v in values.items() if not is_time(name)}
        for n, values in steps.items()
    }


def set_up_of(unit):
    """Set a planned unit up on the samples that its plan opened."""
    data = {role: samples.dataset for role, samples in unit.samples.items()}
    return set_up(unit.unit.experiment, unit.located, data)
