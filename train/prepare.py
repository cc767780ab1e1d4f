"""What comes before the fit: the model, and the features of all pictures and of their views in the cache."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.errors import UserError
from edge.model.contract import ModelSpec
from train.augment import Augmentation, parse_augmentation, views
from train.backbones import UNIT, build_backbone
from train.dataset import Dataset, Picture
from train.features import Features, extract, keras_engine
from train.keras import keras
from train.model import build_classifier, parts, split_at_features, to_unfreeze
from train.options import Options
from train.progress import say
from train.source import FeatureSource


@dataclass
class Prepared:
    """What comes before the fit.

    Attributes:
        base: the backbone; several heads can be built on it.
        taps: the layers of it that are used beside its top.
        train, validation, test: the features of the pictures; `train` with those of their views, and `validation` too
            where the split is our own.
        augmentation: of the views, None if there are none.
    """

    spec: ModelSpec
    base: keras.Model
    taps: tuple[str, ...]
    model: keras.Model
    train: FeatureSource
    validation: FeatureSource
    test: FeatureSource
    augmentation: Augmentation | None


def prepare(options: Options, data: Dataset) -> Prepared:
    """Build the model, and bring the features of the pictures and of their views into the cache."""
    augmentation = parse_augmentation(options.augmentation) if options.augment else None
    if options.augmentation and not augmentation:
        raise UserError("--augmentation: expected --augment VIEWS with it, found no views to draw")
    keras.utils.set_random_seed(options.seed)  # of random weights: a run that goes on has to find them again
    base, backbone = build_backbone(options.backbone, options.weights, options.size, options.cut, options.width)
    if backbone.int8:
        say(f"warning: {options.backbone}: {backbone.int8}")
    mean, std = UNIT if options.unit_inputs else (backbone.mean, backbone.std)
    try:
        spec = ModelSpec(
            labels=data.labels,
            size=base.input_shape[1:3],
            resize=options.resize,
            mean=mean,
            std=std,
            backbone=options.backbone,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    taps = backbone.taps if options.taps == "all" else ()
    model = new_head(options, base, taps, len(data.labels), options.dropout, options.seed)
    if options.unfreeze:
        to_unfreeze(model, options.unfreeze)  # a wrong name is told now, and not after the head was fitted
    drawn_of = [*data.train, *(data.validation if data.own_split else [])]
    drawn = views(drawn_of, augmentation, range(options.augment)) if augmentation else []
    splits = data.train, data.validation, data.test
    pictures = [picture for split in splits for picture in split]
    engine = keras_engine(split_at_features(model)[0], spec, parts(model))
    features = extract(engine, [*pictures, *drawn])
    of_views = f" and {len(drawn)} views of them" if drawn else ""
    say(f"features of {len(pictures)} pictures{of_views}: {features.computed} computed, the others known")
    seen = features.rows[len(pictures) :].reshape(-1, options.augment) if drawn else None
    sources, start = [], 0
    for split in splits:
        place = slice(start, start + len(split))
        rows = features.rows[place, None]
        if seen is not None and place.stop <= len(seen):
            rows = np.column_stack([rows, seen[place]])
        sources.append(source(features, rows, split))
        start = place.stop
    train, validation, test = sources
    return Prepared(spec, base, taps, model, train, validation, test, augmentation)


def new_head(
    options: Options, base: keras.Model, taps: Sequence[str], labels: int, dropout: float, seed: int
) -> keras.Model:
    """A classifier with a new head: the same weights for the same seed, whatever the weights behind it are."""
    keras.utils.set_random_seed(seed)
    return build_classifier(base, labels, options.head, dropout, options.output, options.dense, taps)


def source(features: Features, rows: np.ndarray, pictures: Sequence[Picture]) -> FeatureSource:
    labels = np.array([picture.label for picture in pictures], np.int64)
    return FeatureSource(replace(features, rows=rows), labels)
