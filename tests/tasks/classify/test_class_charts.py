import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from hardy.tasks.classify.class_charts import class_deltas, class_panels


def assert_whole(picture: Image.Image) -> None:
    """Nothing is cut off: the outermost pixels are the background's."""
    pixels = np.asarray(picture)
    assert picture.mode == "RGB"
    assert picture.width <= 1000
    assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    assert (pixels < 128).any()


def classes(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(count)
    table = pd.DataFrame(
        {
            "class": [f"class {i}, with a $rather$ long name" for i in range(count)],
            "samples": 10,
            "before": rng.random(count),
            "after": rng.random(count),
        }
    )
    return table.assign(delta=table["after"] - table["before"])


@pytest.mark.parametrize(("count", "pictures"), [(1, 1), (10, 1), (51, 1), (200, 1), (201, 2)])
def test_classes_fill_panels_of_fifty_four_to_a_picture(count: int, pictures: int) -> None:
    found = list(class_panels(classes(count), {"before": "source", "after": "memo"}))
    assert len(found) == pictures
    for picture in found:
        assert_whole(picture)


@pytest.mark.parametrize("count", [1, 10, 300])
def test_class_deltas_are_whole(count: int) -> None:
    assert_whole(class_deltas(classes(count)))


def test_an_unchanged_class_is_not_drawn() -> None:
    table = classes(3)
    more = pd.concat([table, table.assign(delta=0.0)], ignore_index=True)
    assert class_deltas(more).height == class_deltas(table).height


def test_pyplot_keeps_nothing() -> None:
    before = plt.get_fignums()
    class_deltas(classes(3))
    assert plt.get_fignums() == before
