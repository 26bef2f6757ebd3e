"""What the picture of a sweep says: each line, its points and band, its name with the area."""

import numpy as np
import pandas as pd
import pytest

from hardy.explain import sweep as module
from hardy.explain.figure import GREY
from hardy.explain.sweep import sweep_picture


def rows(line, answer, count, *, baseline=False, interval=True):
    level = np.linspace(0.9, 0.5, count)
    table = {"line": line, "answer": answer, "baseline": baseline, "value": np.arange(count) / 10}
    area = {"auc": 0.25, "auc_low": 0.125 if interval else np.nan, "auc_high": 0.5}
    return pd.DataFrame({**table, "low": level - 0.1, "level": level, "high": level + 0.05, **area})


@pytest.fixture
def drawn(monkeypatch):
    """Return the figure, its axes and the legend's texts."""

    def figure_of(*tables, percent=True):
        figure = sweep_picture(pd.concat(tables), "data.x: $half", "accuracy", percent=percent)
        (axes,), (legend,) = figure.axes, figure.legends
        return figure, axes, legend

    monkeypatch.setattr(module, "render", lambda figure: figure)
    return figure_of


def lines(count, points=3):
    return [rows(f"line {n}", "memo", points) for n in range(count)]


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def test_points_bands_and_names_are_the_tables(drawn):
    one = rows("a", "memo", 5)
    _, axes, legend = drawn(one, rows("", "source", 1, baseline=True, interval=False))
    (line, source), (band, _) = axes.lines, axes.collections
    np.testing.assert_allclose(line.get_ydata(), 100 * one["level"])
    np.testing.assert_allclose(line.get_xdata(), one["value"])
    corners = band.get_paths()[0].vertices
    ends = {(x, y) for x, y in corners.round(6)}
    for x, low, high in zip(one["value"], one["low"], one["high"], strict=True):
        assert {(round(x, 6), round(100 * low, 6)), (round(x, 6), round(100 * high, 6))} <= ends
    assert band.get_alpha() < 0.3  # lines behind it are seen
    assert band.get_linewidth() == [0]
    assert texts(legend) == ["a: 25.0 [12.5, 50.0]", "source: 25.0"]
    assert axes.get_xlabel() == "data.x: $half"
    assert not axes.xaxis.label.get_parse_math()
    assert not any(text.get_parse_math() for text in legend.get_texts())
    assert axes.get_ylabel() == "accuracy (%)"
    assert axes.get_title() == "accuracy, with its 95 % interval"
    assert (line.get_linestyle(), source.get_linestyle()) == ("-", "--")
    assert source.get_color() == GREY != line.get_color()
    assert (source.get_markerfacecolor(), line.get_markerfacecolor()) == ("white", line.get_color())


def test_what_is_no_share_is_in_its_own_unit(drawn):
    own = rows("", "memo", 3)
    _, axes, legend = drawn(own, percent=False)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), own["level"])
    assert axes.get_ylabel() == "accuracy"
    assert texts(legend) == ["memo: 0.25 [0.125, 0.5]"]


def test_eleven_lines_have_a_look_each(drawn):
    _, axes, _ = drawn(*lines(11))
    assert len({line.get_marker() for line in axes.lines}) == 11
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 11
    assert len({line.get_color() for line in axes.lines}) == 7


@pytest.mark.parametrize(("points", "every"), [(1, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_a_line_has_at_most_sixteen_markers(points, every, drawn):
    _, axes, _ = drawn(rows("a", "memo", points))
    assert axes.lines[0].get_markevery() == every


@pytest.mark.parametrize(
    ("count", "bands", "columns"), [(2, 2, 1), (3, 3, 2), (8, 8, 2), (9, 0, 2)]
)
def test_few_lines_have_bands_and_more_have_two_columns(count, bands, columns, drawn):
    _, axes, legend = drawn(*lines(count))
    assert len(axes.collections) == bands
    assert legend._ncols == columns


@pytest.mark.parametrize(("length", "columns"), [(30, 2), (31, 1)])
def test_long_names_have_a_row_each(length, columns, drawn):
    _, _, legend = drawn(*lines(2), rows("n" * length, "memo", 3))
    assert legend._ncols == columns


@pytest.mark.parametrize(("length", "told"), [(80, "n" * 80), (81, "n" * 79 + "…")])
def test_a_name_that_is_too_long_is_cut(length, told, drawn):
    _, _, legend = drawn(
        rows("n" * length, "memo", 3), rows("n" * length, "source", 3, baseline=True)
    )
    assert [text.partition(": ")[0] for text in texts(legend)] == [told, f"{told}, source"]


@pytest.mark.parametrize(("count", "shown"), [(13, 14), (14, 14)])
def test_what_others_are_compared_with_gives_way_to_many_lines(count, shown, drawn):
    _, axes, legend = drawn(*lines(count), rows("", "source", 3, baseline=True))
    assert len(axes.lines) == shown
    assert ("source: 25.0 [12.5, 50.0]" in texts(legend)) == (count == 13)
