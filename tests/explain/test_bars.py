import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from hardy.explain.bars import gain_bars, operation_bars


def assert_whole(picture: Image.Image) -> None:
    """Nothing is cut off: the outermost pixels are the background's."""
    pixels = np.asarray(picture)
    assert picture.mode == "RGB"
    assert picture.width <= 1600
    assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    assert (pixels < 128).any()


def operations(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "operation": [f"operation_{i}" for i in range(count)],
            "share": rng.random(count),
            "improved_share": rng.random(count),
            "worsened_share": np.nan,
        }
    )


@pytest.mark.parametrize("count", [2, 19])
def test_operations_are_whole_even_where_a_group_is_empty(count: int) -> None:
    assert_whole(operation_bars(operations(count)))


def test_gains_are_whole() -> None:
    gain = np.linspace(0.03, -0.06, 14)
    runs = [f"contrast-augmentation-{i}" for i in range(14)]
    table = pd.DataFrame(
        {"run": runs, "gain": gain, "gain_low": gain - 0.01, "gain_high": gain + 0.02}
    )
    assert_whole(gain_bars(table, "accuracy", percent=True))
    assert_whole(gain_bars(table[:2], "score", percent=False))


def test_pyplot_keeps_nothing() -> None:
    before = plt.get_fignums()
    operation_bars(operations(3))
    assert plt.get_fignums() == before
