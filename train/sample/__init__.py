"""A data set drawn from nothing: horses and humans, modelled from ellipsoids and lit with numpy and OpenCV.

    python -m train.sample DIR [--train N] [--validation N] [--seed N]

It needs no download, so the whole way from photos to a device can be walked anywhere. As in the Horses-or-Humans
set, figures stand in scenery in training pictures and before a plain light wall in validation pictures: a model
must learn the figure, for nothing of the background is left to lean on.
"""

from train.sample.folder import STAMP, contact_sheet, write_sample
from train.sample.picture import LABELS, SPLITS, VERSION, draw

__all__ = ["LABELS", "SPLITS", "STAMP", "VERSION", "contact_sheet", "draw", "write_sample"]
