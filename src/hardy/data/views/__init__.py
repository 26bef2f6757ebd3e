"""Views of one image: the unchanged image first, then augmentations, each from its own numbers.

View i is made by a generator derived from (seed, sample id, i) alone. So the first 8 of 64 views
are the same as 8 views, and no view depends on the order of samples, the number of workers, or
where a run resumed.
"""

from hardy.data.views.crop import crop_box
from hardy.data.views.make import Point, Views, kept_bytes, make_views

__all__ = ["Point", "Views", "crop_box", "kept_bytes", "make_views"]
