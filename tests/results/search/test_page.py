"""A search as one page, opened in a browser."""

import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hardy.results.search.page import page
from hardy.results.search.trial import Trial
from tests.results.search.examples import TWO, spec, trials
from tests.test_imports import SRC, imports

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy".*?>')
CONTROL = '<img src="http://control.invalid/picture.png">'
FIGURES = [
    "Pareto front",
    *(
        f"{metric}: {figure}"
        for metric in ("accuracy", "ece")
        for figure in ("history", "importances", "parallel coordinates", "slices", "contour")
    ),
    "what trials reported",
]


@pytest.fixture(scope="module")
def made() -> str:
    return page("search/memo", TWO, ["max", "min"], trials(TWO))


def titles(text: str) -> list[str]:
    return re.findall(r'<a href="#\d+">(.*?)</a>', text)


class Addresses(HTMLParser):
    """What elements name that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.found += [value for name, value in attributes if name in ("src", "href", "data")]


def test_the_page_has_the_library_once_and_names_nothing_outside(made) -> None:
    assert titles(made) == FIGURES
    assert made.count("plotly.js v") == 1
    assert Addresses(made).found == [f"#{n}" for n in range(len(FIGURES))]
    assert len(made) < 6_000_000


def test_the_same_trials_give_the_same_page(made) -> None:
    assert page("search/memo", TWO, ["max", "min"], trials(TWO)) == made


@contextmanager
def proxy() -> Iterator[tuple[int, list[str]]]:
    """A proxy that lets nothing pass, and what it was asked for."""
    asked: list[str] = []

    class Refuse(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode("latin-1").strip())
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()


# What a browser asks for on its own account: kept from it, and not counted where it asks anyway.
OWN = re.compile(r"(update|accounts|clients\d|redirector|optimizationguide-pa)\.(google|gvt1)")
QUIET = (
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints,MediaRouter,Translate",
    "--disable-field-trial-config",
    "--disable-sync",
    "--disable-variations-seed-fetch",
    "--gaia-url=http://127.0.0.1:9",
    "--component-updater=url-source=http://127.0.0.1:9",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
)


def opened(text: str, folder: Path) -> tuple[str, list[str]]:
    """Return the page as a browser has it in the end, and what it asked the network for."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    with proxy() as (port, asked):
        done = subprocess.run(
            [
                BROWSER,
                *("--headless", "--no-sandbox", "--disable-gpu", *QUIET),
                f"--user-data-dir={folder / 'profile'}",
                f"--proxy-server=http://127.0.0.1:{port}",
                "--proxy-bypass-list=<-loopback>",
                "--virtual-time-budget=10000",
                "--dump-dom",
                (folder / "page.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    return done.stdout, [line for line in asked if not OWN.search(line)]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is installed")
def test_a_browser_draws_every_figure_and_asks_for_nothing(made, tmp_path) -> None:
    # Without its policy the page asks for nothing: the browser asks for what is put in, alone.
    bare, count = POLICY.subn("", made)
    assert count == 1
    seen, asked = opened(bare.replace("</body>", f"{CONTROL}</body>"), tmp_path)
    assert asked == ["GET http://control.invalid/picture.png HTTP/1.1"]
    check_drawn(seen)
    # With it, not even that.
    seen, asked = opened(made.replace("</body>", f"{CONTROL}</body>"), tmp_path)
    assert asked == []
    check_drawn(seen)


def check_drawn(seen: str) -> None:
    parts = [part for part in seen.split('id="figure-')[1:] if 'class="main-svg"' in part]
    given = trials(TWO)
    finished = sum(trial.state == "complete" for trial in given)
    for title, part in zip(FIGURES, parts, strict=True):
        assert f">{title}</text>" in part
        points, lines = part.count('class="point"'), part.count('class="js-line"')
        match title.rpartition(": ")[2]:
            case "importances":
                assert points == len(TWO.space)
            case "parallel coordinates":
                assert lines >= finished
            case "slices":
                assert points > finished * len(TWO.space) / 2
            case "contour":
                assert points > 5 < part.count('class="contour')
            case "what trials reported":
                assert lines == sum(trial.state != "failed" for trial in given)
            case _:
                assert points == finished


CONDITIONAL = spec(
    {
        "a": ["x", "y"],
        "b": {"kind": "float", "low": 0, "high": 1, "when": {"a": "x"}},
        "c": {"kind": "float", "low": 0, "high": 1, "when": {"a": "y"}},
    }
)
LABELS = spec({"a": ["x", "y"]})
EDGES = {
    "none": (spec(), []),
    "one": (LABELS, trials(LABELS, 1)),
    "nothing finished": (spec({"a": [1, 2]}), [Trial(0, {"a": 1}, "failed")]),
    "all equal": (spec({"a": [1, 2]}), [Trial(n, {"a": 1}, "complete", (0.5,)) for n in range(12)]),
    "labels alone": (LABELS, trials(LABELS)),
    "never together": (CONDITIONAL, trials(CONDITIONAL)),
    "outside": (
        spec({"a": {"kind": "float", "low": 1, "high": 2}}),
        [Trial(n, {"a": 5.0}, "complete", (n / 10,)) for n in range(12)],
    ),
    "reports alone": (spec({"a": [1, 2]}), [Trial(0, {"a": 1}, "pruned", reports={3: 0.5})]),
    "markup": (
        spec({"a": ["</script><b>", "&"]}),
        [Trial(n, {"a": "&"}, "complete", (n / 10,)) for n in range(12)],
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_a_search_of_any_kind_has_a_page(edge) -> None:
    search, given = EDGES[edge]
    text = page("edge", search, ["max"], given)
    assert titles(text) == {
        "none": [],
        "one": ["history", "parallel coordinates", "slices", "what trials reported"],
        "nothing finished": [],
        "all equal": ["history", "parallel coordinates", "slices"],
        "labels alone": [
            *("history", "importances", "parallel coordinates", "slices", "what trials reported"),
        ],
        "never together": [
            *("history", "importances", "parallel coordinates", "slices", "what trials reported"),
        ],
        "outside": ["history"],
        "reports alone": ["what trials reported"],
        "markup": ["history", "importances", "parallel coordinates", "slices"],
    }.get(edge)
    assert text.count("</script><b>") == 0


def test_plotly_waits_until_a_page_is_made() -> None:
    early = [
        str(path)
        for path in (SRC / "results").rglob("*.py")
        for each in imports(path)
        if each.top and not each.typing and each.module.partition(".")[0] == "plotly"
    ]
    assert early == []
