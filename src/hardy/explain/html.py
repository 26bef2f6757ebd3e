"""A page of plotly's figures to point at, to turn and to zoom into, without a network."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Beside having nothing to ask for, the page is not allowed to.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #212529; margin: 0 auto; padding: 1rem;
  max-width: 1400px; }
h1 { font-size: 1.4rem; } nav a { margin-right: 1rem; }
section { border-top: 1px solid #dee2e6; overflow-x: auto; }
"""


def document(title: str, intro: str, figures: Sequence[tuple[str, "go.Figure"]]) -> str:
    """Return an HTML page with figures and their titles, and with plotly's library in it once.

    Args:
        title: The page's.
        intro: A line below it.
        figures: In order; titles are links to them.
    """
    # Not before: it would take its time at each start.
    from plotly.io import to_html
    from plotly.offline import get_plotlyjs

    sections, links = [], []
    for place, (name, figure) in enumerate(figures):
        figure.update_layout(title=name, template="plotly_white")
        drawn = to_html(
            figure,
            full_html=False,
            include_plotlyjs=False,
            div_id=f"figure-{place}",
            config={"displaylogo": False, "responsive": True},
        )
        sections.append(f'<section id="{place}">{drawn}</section>')
        links.append(f'<a href="#{place}">{html.escape(name)}</a>')
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>",
            f"<script>{get_plotlyjs()}</script>\n</head>\n<body>",
            f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(intro)}</p>",
            f"<nav>{' '.join(links)}</nav>",
            *sections,
            "</body>\n</html>\n",
        ]
    )
