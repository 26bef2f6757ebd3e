"""Carry out command lines one after the other in one process; print what each came to as JSON.

Of stdin comes a list of command lines, each a list of words.
"""

import contextlib
import io
import json
import sys
import traceback

from hardy.cli.main import run


def main() -> None:
    """Carry out what stdin says."""
    out = sys.stdout
    for line in json.load(sys.stdin):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                status: int | str = run(line)
            except BaseException as error:
                status = type(error).__name__
                traceback.print_exc()
        row = {"line": line, "status": status, "said": said.getvalue()}
        print(json.dumps(row), file=out, flush=True)


if __name__ == "__main__":
    main()
