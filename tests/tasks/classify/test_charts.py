import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from hardy.core.errors import DataError
from hardy.tasks.classify import charts
from hardy.tasks.classify.charts import confusion_picture, reliability_diagram

CLASSES = [f"class {i}, with a $rather$ long name" for i in range(300)]


def counts(classes: int, seed: int = 0) -> list[dict[str, int]]:
    labels = np.random.default_rng(seed).integers(classes, size=(2, 10 * classes))
    labels[:, :classes] = np.arange(classes)
    pairs, numbers = np.unique(labels.T, axis=0, return_counts=True)
    return [
        {"label": int(y), "prediction": int(p), "count": int(n)}
        for (y, p), n in zip(pairs, numbers, strict=True)
    ]


def assert_whole(picture: Image.Image) -> None:
    """Nothing is cut off: the outermost pixels are the background's."""
    pixels = np.asarray(picture)
    assert picture.mode == "RGB"
    assert picture.width <= 1000
    assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    assert (pixels < 128).any()


@pytest.mark.parametrize("classes", [1, 2, 10, 25, 26, 300])
def test_confusion_pictures_are_whole(classes: int) -> None:
    assert_whole(confusion_picture(counts(classes), CLASSES))


def test_only_classes_that_occur_decide_between_matrix_and_bars(monkeypatch) -> None:
    seen: list[list[int]] = []
    monkeypatch.setattr(
        charts, "_matrix", lambda rows, classes, present, answer: seen.append(present)
    )
    confusion_picture([{"label": 7, "prediction": 299, "count": 3}], CLASSES)
    assert seen == [[7, 299]]
    assert isinstance(confusion_picture(counts(31), CLASSES), Image.Image)
    assert len(seen) == 1


def test_many_classes_without_an_error_still_make_a_picture() -> None:
    rows = [{"label": i, "prediction": i, "count": 1} for i in range(40)]
    assert_whole(confusion_picture(rows, CLASSES))


def test_the_counts_are_what_is_drawn() -> None:
    one, other = (np.asarray(confusion_picture(counts(5, s), CLASSES)) for s in (0, 1))
    again = np.asarray(confusion_picture(counts(5), CLASSES))
    assert (one == again).all()
    assert one.shape != other.shape or (one != other).any()


def test_reliability_diagrams_are_whole() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(200)
    assert_whole(reliability_diagram(confidence, rng.random(200) < confidence))
    assert_whole(reliability_diagram(np.array([1.0]), np.array([False])))


def test_reliability_needs_samples() -> None:
    with pytest.raises(DataError, match="one confidence"):
        reliability_diagram(np.array([]), np.array([]))


def test_pyplot_keeps_nothing() -> None:
    before = plt.get_fignums()
    confusion_picture(counts(2), CLASSES)
    assert plt.get_fignums() == before
