"""Units side by side, class by class: those of the same classes, up to four."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hardy.core.errors import ArtifactAbsent
from hardy.results.beside import beside
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from hardy.tasks.segment.spec import SegmentSpec

SUITE = SimpleNamespace(name="suite")
CLASSIFY, SEGMENT = build_task(ClassifySpec()), build_task(SegmentSpec(), ("cat", "nan"))


@pytest.fixture(autouse=True)
def render(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw figures without their pixels, which take time."""
    for room in ("classify.class_charts", "segment.pictures"):
        empty = Image.new("RGB", (4, 4))
        monkeypatch.setattr(f"hardy.tasks.{room}.render", lambda figure, empty=empty: empty)


def unit(tmp_path: Path, name: str, table: pd.DataFrame | None, task=CLASSIFY, main="memo"):
    """Return a unit whose run keeps a table of classes, or none."""

    def artifact(run_id: str, path: str) -> Path:
        assert (run_id, path) == (name, "report/classes.csv")
        if table is None:
            raise ArtifactAbsent(path, hint="")
        file = tmp_path / f"{name.replace('/', '-')}.csv"
        table.to_csv(file, index=False)
        return file

    store = SimpleNamespace(artifact=artifact)
    return SimpleNamespace(name=name, run_id=name, store=store, task=task, main=main)


def alone(*shares: float) -> pd.DataFrame:
    """Return the table of a model as it is; a class may have the name of what is no number."""
    given = {"label": [0, 1], "class": ["cat", "nan"], "samples": [4, 8]}
    return pd.DataFrame({**given, "right": [0, 0], "accuracy": shares})


def adapted(*shares: float) -> pd.DataFrame:
    plain = alone(*shares).rename(columns={"accuracy": "after"})
    return plain.drop(columns="right").assign(before=[0.0, 0.0], delta=shares)


def csv_of(found: dict[str, object], path: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(str(found[path])), keep_default_na=False)


def test_two_models_stand_side_by_side(tmp_path: Path) -> None:
    units = [
        unit(tmp_path, "suite/resnet", alone(0.25, 0.5)),
        unit(tmp_path, "suite/vit", adapted(0.75, 0.125)),
        unit(tmp_path, "suite/features", None),
    ]
    found = dict(beside(SUITE, units))
    assert list(found) == ["report/classes-beside.csv", "report/classes-beside-1.png"]
    table = csv_of(found, "report/classes-beside.csv")
    assert list(table) == ["label", "class", "samples", "resnet", "vit"]
    assert table["class"].tolist() == ["cat", "nan"]
    assert (table["resnet"].tolist(), table["vit"].tolist()) == ([0.25, 0.5], [0.75, 0.125])


def test_segmenters_are_compared_by_their_own_answers(tmp_path: Path) -> None:
    def overlaps(low: float) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "answer": ["source", "source", "memo", "memo"],
                "class": ["cat", "nan"] * 2,
                "pixels": 9,
                "iou": [0.0, 0.0, low, np.nan],
            }
        )

    units = [unit(tmp_path, name, overlaps(n), SEGMENT) for n, name in ((0.5, "a"), (0.75, "b"))]
    found = dict(beside(SUITE, units))
    assert list(found) == ["report/classes-beside.csv", "report/classes-beside-1.png"]
    table = csv_of(found, "report/classes-beside.csv")
    assert table["answer"].tolist() == ["a", "a", "b", "b"]
    assert table["iou"].tolist() == ["0.5", "", "0.75", ""]


@pytest.mark.parametrize(("count", "drawn"), [(1, 0), (2, 1), (4, 1), (5, 0)])
def test_what_one_picture_cannot_tell_apart_is_not_drawn(tmp_path, count, drawn) -> None:
    units = [unit(tmp_path, f"suite/{n}", alone(0.0, 1.0)) for n in range(count)]
    assert sum(path.endswith(".png") for path, _ in beside(SUITE, units)) == drawn


def test_other_classes_stand_by_themselves(tmp_path: Path) -> None:
    others = alone(0.0, 1.0).assign(**{"class": ["dog", "hen"]})
    units = [unit(tmp_path, f"suite/{n}", (alone(0.5, 0.5), others)[n % 2]) for n in range(4)]
    tables = [path for path, _ in beside(SUITE, units) if path.endswith(".csv")]
    assert tables == ["report/classes-beside-of-1.csv", "report/classes-beside-of-2.csv"]
