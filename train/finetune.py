"""Trains the last layers of the backbone too, out of maps that the frozen part in front of them gave once.

What goes over from the frozen layers to the opened ones is computed once for each picture and each of its views, and
kept like features: in half precision, on disk, mapped into memory. So an epoch costs the opened layers alone. They
start with the solved head, and are trained by AdamW with a warm-up, a cosine to zero and an average of the weights over
about an epoch; nothing is chosen on the way. Then the head is solved once more on what the backbone says now. Of the
frozen model, the trained one and that with the new head the one that is right most often on validation stays.
"""

import math
import time
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from train.augment import views
from train.dataset import Dataset
from train.features import extract, keras_engine
from train.fit import Recipe, batches, scores, steps_of
from train.heads import folds, solve
from train.keras import apart, keras, layers, tf
from train.model import depths, follow, parents, to_unfreeze, unfreeze, write_head
from train.options import Options
from train.prepare import Prepared, source
from train.progress import progress
from train.source import FeatureSource

_DECAY = 0.02  # of the weights, each step times the learning rate; not of biases, scales and offsets
_WARM = 0.1  # share of the steps in which the rate rises
_TRACED, _TIMED = 3, 5  # steps at the start that are not typical, and those after them that tell the time
_CLIP = 1.0  # norm of the gradient: the first steps of a head that is sure of itself


FROZEN, TRAINED, SOLVED = "frozen", "fine-tuned", "fine-tuned, head solved again"


@dataclass(frozen=True)
class Finetuned:
    """What came of it.

    Attributes:
        kept: one of the three.
        accuracy: of each on the validation pictures, which chose between them.
        opened: the layers that are other now than they were; none if the frozen model was kept.
        tail, sources: from the maps of training, validation and test, without views, to the scores.
        interrupted: it was ended by Ctrl-C.
    """

    kept: str
    accuracy: dict[str, float]
    opened: list[str]
    tail: keras.Model
    sources: list[FeatureSource]
    interrupted: bool


@dataclass(frozen=True)
class Halves:
    """A classifier cut in front of its opened layers; both halves share its layers.

    Attributes:
        front: pictures to all that the other half takes of them, side by side: (any, width).
        tail: from there to the scores.
        features: from there to the features of all depths.
    """

    front: keras.Model
    tail: keras.Model
    features: keras.Model


def halves(model: keras.Model, opened: list[keras.layers.Layer]) -> Halves:
    """Cut a classifier in front of the layers that are opened. BatchNormalization keeps its statistics."""
    late = {layer.name for layer in opened}
    ends = depths(model)
    for layer in model.layers:
        above = [parent.name for parent in parents(layer)]
        if any(name in late for name in above) or any(end.name in above for end in ends):
            late.add(layer.name)
    wanted = {parent.name for layer in model.layers if layer.name in late for parent in parents(layer)}
    taken = [layer for layer in model.layers if layer.name in wanted - late]
    flat = [layers.Flatten(name=apart(f"flat_{layer.name}", model))(layer.output) for layer in taken]
    row = layers.Concatenate(name=apart("maps", model))
    front = keras.Model(model.input, row(flat) if len(flat) > 1 else flat[0])
    start = keras.Input(front.output_shape[1:], name="maps_input")
    made: dict[str, Any] = {}
    column = 0
    for layer in taken:
        shape = layer.output.shape[1:]
        width = int(np.prod(shape))
        made[layer.name] = layers.Reshape(shape)(start[:, column : column + width])
        column += width
    made = follow(model, made)
    said = [made[end.name] for end in ends]
    features = layers.Concatenate()(said) if len(said) > 1 else said[0]
    return Halves(front, keras.Model(start, made[model.layers[-1].name]), keras.Model(start, features))


def train_tail(tail: keras.Model, train: FeatureSource, recipe: Recipe, until: float | None = None) -> bool:
    """Fit what is trainable; the weights end as their average over about the last epoch.

    Args:
        train: rows of `Halves.front`, of which each epoch draws one of the views of each picture.
        recipe: epochs, batch, learning rate (the highest), balance, label smoothing, mixup and seed are used.
        until: when it has to be over, by `time.perf_counter`: fewer epochs then, as the first steps show.

    Returns:
        Whether it was ended by Ctrl-C; the weights are the average so far.
    """
    variables = tail.trainable_variables
    each = steps_of(train, recipe.batch)
    total = each * recipe.epochs
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=_DECAY, clipnorm=None, global_clipnorm=_CLIP)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(variables)
    width = tail.output_shape[-1]
    kind = keras.losses.BinaryCrossentropy if width == 1 else keras.losses.CategoricalCrossentropy
    loss = kind(label_smoothing=recipe.label_smoothing)
    averages = [tf.Variable(variable) for variable in variables]

    @tf.function(reduce_retracing=True)
    def step(rows: tf.Tensor, target: tf.Tensor, weights: tf.Tensor, keep: tf.Tensor, rate: tf.Tensor) -> None:
        optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            value = loss(target, tail(tf.cast(rows, tf.float32), training=True), weights)
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        for average, variable in zip(averages, variables, strict=True):
            average.assign(keep * average + (1 - keep) * variable)

    done = 0
    interrupted = False
    try:
        with progress("fine-tuning", total, " steps") as bar:
            epochs = (batches(train, recipe, width, recipe.batch, epoch) for epoch in range(recipe.epochs))
            for batch in chain.from_iterable(epochs):
                done += 1
                keep = min(1 - 1 / each, done / (done + 9))
                rate = recipe.learning_rate * _schedule((done - 1) / total)
                step(*map(tf.constant, batch), tf.constant(keep, tf.float32), tf.constant(rate, tf.float32))
                bar.update()
                if until and done == _TRACED:
                    clock = time.perf_counter()
                if until and done == _TRACED + _TIMED:
                    now = time.perf_counter()
                    left = int((until - now) * _TIMED / (now - clock))
                    total = bar.total = max(done, min(total, done + left))
                if done >= total:
                    break
    except KeyboardInterrupt:
        interrupted = True
    for average, variable in zip(averages, variables, strict=True):
        variable.assign(average)
    return interrupted


def _schedule(share: float) -> float:
    """Of the highest rate, after a share of the steps: a straight line up, then half a cosine down to 0."""
    return share / _WARM if share < _WARM else 0.5 + 0.5 * math.cos(math.pi * (share - _WARM) / (1 - _WARM))


def finetune(options: Options, ready: Prepared, data: Dataset, until: float | None = None) -> Finetuned:
    """Train the layers that `--unfreeze` names behind a solved head; the model is left with what is best on validation.

    The frozen model stays unless another is right more often; the trained head stays unless the solved one is.
    """
    model = ready.model
    assert options.unfreeze
    opened = to_unfreeze(model, options.unfreeze)
    cut = halves(model, opened)
    drawn = views(data.train, ready.augmentation, range(options.augment)) if ready.augmentation else []
    splits = data.train, data.validation, data.test
    maps = extract(keras_engine(cut.front, ready.spec), [*(picture for split in splits for picture in split), *drawn])
    ends = np.cumsum([len(split) for split in splits])
    places = [slice(end - len(split), end) for split, end in zip(splits, ends, strict=True)]
    plain = [source(maps, maps.rows[place, None], split) for place, split in zip(places, splits, strict=True)]
    seen = maps.rows[ends[-1] :].reshape(len(data.train), -1)
    train = source(maps, np.column_stack([maps.rows[places[0]], seen]), data.train)
    truth = plain[1].labels

    def right() -> float:
        return float((scores(cut.tail, plain[1]).argmax(axis=1) == truth).mean())

    accuracy = {FROZEN: right()}
    before = model.get_weights()
    unfreeze(model, options.unfreeze)
    rate = options.unfreeze_learning_rate or options.learning_rate / 10
    recipe = Recipe(
        options.unfreeze_epochs, options.batch, learning_rate=rate, balance=options.balance, seed=options.seed
    )
    interrupted = train_tail(cut.tail, train, recipe, until)
    accuracy[TRAINED] = right()
    trained = model.get_weights()
    features = scores(cut.features, plain[0])
    fold = folds(data.train, options.seed)
    solution = solve(features, plain[0].labels, len(data.labels), fold, options.fit, options.balance)
    write_head(model, solution.head, features.mean(axis=0))
    accuracy[SOLVED] = right()
    kept = max(accuracy, key=lambda name: accuracy[name])  # of equals the first
    if kept != SOLVED:
        model.set_weights(before if kept == FROZEN else trained)
    names = [layer.name for layer in opened if layer.weights]
    if kept == FROZEN:
        for layer in opened:
            layer.trainable = False
    return Finetuned(kept, accuracy, [] if kept == FROZEN else names, cut.tail, plain, interrupted)
