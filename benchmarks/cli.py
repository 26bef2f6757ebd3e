"""Whole-process times of the light verbs: python benchmarks/cli.py [REPEATS]

The verbs that only read answer within half a second, or nobody asks them. `plan` is timed with the
model's costs known and with a store of runs, as it is after the first run.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 0.5
VERBS = {
    "--help": ["--help"],
    "list": ["list"],
    "validate": ["validate", "quickstart"],
    "show": ["show", "quickstart", "--origin"],
    "plan": ["plan", "quickstart"],
    "cache": ["cache"],
}


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "HARDY_HOME": str(home)}


def prepare(home: Path) -> None:
    """Make the store, and measure the quickstart's model."""
    code = "from hardy.tracking.store import connect; connect()"
    for command in (["-c", code], ["-m", "hardy", *VERBS["plan"]]):
        subprocess.run(
            [sys.executable, *command],
            env=environment(home),
            cwd=ROOT,
            capture_output=True,
            check=True,
        )


def seconds(arguments: list[str], home: Path) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "hardy", *arguments],
        env=environment(home),
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - start


def measure(repeats: int, home: Path) -> dict[str, list[float]]:
    """Return the seconds of each verb, the first call (which may compile files) left out."""
    prepare(home)
    times: dict[str, list[float]] = {}
    for verb, arguments in VERBS.items():
        seconds(arguments, home)
        times[verb] = [seconds(arguments, home) for _ in range(repeats)]
    return times


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as home:
        times = measure(repeats, Path(home))
    print(f"{'verb':10} {'median':>8} {'least':>8} {'most':>8}   limit {LIMIT} s, {repeats} runs")
    for verb, found in times.items():
        median = statistics.median(found)
        verdict = "" if median < LIMIT else "  OVER"
        print(f"{verb:10} {median:8.3f} {min(found):8.3f} {max(found):8.3f}{verdict}")


if __name__ == "__main__":
    main()
