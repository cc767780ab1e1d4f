"""Fits a model: epochs over a source, the best of them kept, stopped and continued at any moment."""

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

import numpy as np

from edge.errors import UserError
from train.checkpoint import Checkpoint
from train.keras import keras, layers, tf
from train.progress import progress
from train.source import Source
from train.workers import strategy, workers

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}
_VALIDATION_BATCH = 256
_WIDE = 8192
_DISK = 3e8  # bytes a second that a checkpoint takes at a guess, until one was written
_PROGRESS = 1e-3  # a loss that falls by less is kept, but is no reason to go on


@dataclass(frozen=True)
class Recipe:
    """How to fit.

    Attributes:
        epochs: at most.
        batch: examples a step, as nearly as an epoch divides into steps.
        optimizer: a key of `OPTIMIZERS`.
        learning_rate: of the optimizer.
        patience: epochs without a better one on validation before it stops; 0 never stops.
        stop_at_train_accuracy: stop after the first epoch with this accuracy on training, and keep that epoch.
        balance: weigh the classes so that each counts as much as any other.
        label_smoothing: share of the target that is spread over all labels.
        mixup: alpha of the Beta distribution by which two examples and their targets are mixed (Zhang et al., 2018);
            0 mixes none. Of a frozen backbone it is the features that are mixed.
        seed: of the order of the examples, the views, and the mixing.
    """

    epochs: int = 40
    batch: int = 32
    optimizer: str = "adam"
    learning_rate: float = 3e-3
    patience: int = 10
    stop_at_train_accuracy: float | None = None
    balance: bool = False
    label_smoothing: float = 0.0
    mixup: float = 0.0
    seed: int = 0


@dataclass
class Fit:
    """How a fit went, over one or more stages.

    Attributes:
        history: one row an epoch: accuracy, loss, val_accuracy, val_loss, seconds.
        best_epoch: the one that was kept, from 1.
        stages: the number of the first epoch of each stage.
        interrupted: it was ended by Ctrl-C.
        reached: it was ended by `stop_at_train_accuracy`.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stages: list[int] = field(default_factory=list)
    interrupted: bool = False
    reached: bool = False


def fit_stage(
    model: keras.Model,
    train: Source,
    validation: Source,
    recipe: Recipe,
    fit: Fit,
    checkpoint: Checkpoint | None = None,
    number: int = 0,
    callbacks: list[keras.callbacks.Callback] | None = None,
) -> None:
    """Fit `model` and leave it with the weights of its best epoch on validation, also after Ctrl-C.

    Best is most right, then the lowest loss. A later stage starts from the best of the one before and only replaces
    it by what is better.

    Args:
        fit: what went before; is added to.
        checkpoint: is read for where this stage stands, and written after epochs.
        number: of this stage.

    Raises:
        KeyboardInterrupt: before the first epoch is whole; there is nothing to keep then.
        UserError: if the loss is no number any more.
    """
    together = strategy()
    inference = any(isinstance(layer, layers.BatchNormalization) and layer.trainable for layer in model.layers)
    with together.scope() if together else nullcontext():
        finished, model = model, _twin(model) if together or inference else model
        optimizer = _compile(model, train, recipe)
    keeper = _Keeper(fit, recipe, checkpoint, number, _steps(train, recipe.batch))
    start = keeper.restore(model, optimizer)
    if start >= recipe.epochs or keeper.finished:
        keeper.bar.close()
        finished.set_weights(keeper.weights)
        return
    width = model.output_shape[-1]
    try:
        model.fit(
            _dataset(train, recipe, width, len(fit.history)),
            steps_per_epoch=_steps(train, recipe.batch),
            validation_data=_dataset(validation, None, width),
            epochs=recipe.epochs,
            initial_epoch=start,
            verbose=0,
            callbacks=[keeper, *(callbacks or [])],
        )
    except KeyboardInterrupt:
        if not keeper.weights:
            raise
        fit.interrupted = True
        keeper.save()
    finally:
        keeper.bar.close()
    finished.set_weights(keeper.weights)


class _Inference(layers.BatchNormalization):
    """It normalizes by the statistics that it has: scale and offset learn, the statistics stay."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        return super().call(inputs, training=False, mask=mask)


def _twin(model: keras.Model) -> keras.Model:
    """A copy whose variables belong to the strategy in whose scope it is made, and whose BatchNormalization never
    learns its statistics."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = _Inference if isinstance(layer, layers.BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    twin = keras.models.clone_model(model, clone_function=copy)
    twin.set_weights(model.get_weights())
    return twin


def _compile(model: keras.Model, train: Source, recipe: Recipe) -> keras.optimizers.Optimizer:
    """Make the model ready to fit; its optimizer, with all its variables."""
    one_unit = model.output_shape[-1] == 1
    loss = keras.losses.BinaryCrossentropy if one_unit else keras.losses.CategoricalCrossentropy
    optimizer = OPTIMIZERS[recipe.optimizer](recipe.learning_rate)
    cheap = len(train.shape) == 1  # steps so short that Python between them would be felt
    model.compile(
        optimizer,
        loss(label_smoothing=recipe.label_smoothing),
        [_one_unit_accuracy if one_unit else _accuracy],
        steps_per_execution=16 if cheap else 1,
        # XLA updates the millions of weights behind a flattened map in one pass through memory.
        jit_compile=cheap and train.shape[0] > _WIDE and not strategy(),
    )
    optimizer.build(model.trainable_variables)
    return optimizer


def _one_unit_accuracy(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    return tf.cast((target > 0.5) == (output > 0.5), tf.float32)[:, 0]


def _accuracy(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.argmax(target, axis=1) == tf.argmax(output, axis=1), tf.float32)


_one_unit_accuracy.__name__ = _accuracy.__name__ = "accuracy"


_STATE = "best", "lowest", "progress", "finished"


class _Keeper(keras.callbacks.Callback):
    """Keeps the history and the best weights, decides when to stop, and writes the checkpoint."""

    def __init__(self, fit: Fit, recipe: Recipe, checkpoint: Checkpoint | None, number: int, steps: int) -> None:
        super().__init__()
        self.fit, self.recipe, self.checkpoint, self.number, self.steps = fit, recipe, checkpoint, number, steps
        self.best: tuple[float, float] = (-1.0, -np.inf)
        self.lowest = np.inf  # the loss on validation, of whichever epoch
        self.weights: list[Any] = []  # of the best epoch, arrays or tensors
        self.progress = 0  # the last epoch that was much better than the best before it
        self.finished = False
        self.bar: Any = None
        self.saved, self.save_seconds = time.perf_counter(), 0.0
        self.state: tuple[dict[str, Any], dict[str, Any]] | None = None  # arrays and values of the checkpoint

    def restore(self, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> int:
        """The epoch to start with, counted from 0 in this stage; the model and all else as it was then."""
        found = self.checkpoint.load() if self.checkpoint else None
        if found and found[1]["stage"] > self.number:
            self.finished, self.weights = True, model.get_weights()  # the later stage has them all
        elif found and found[1]["stage"] == self.number:
            arrays, values = found
            self.fit.__dict__.update(Fit(**values["fit"]).__dict__, interrupted=False)
            for name in _STATE:
                setattr(self, name, values.get(name, getattr(self, name)))  # an older checkpoint has fewer
            self.best = tuple(self.best)  # type: ignore[assignment]
            waited = len(self.fit.history) - max(self.progress, self.fit.stages[-1] - 1)
            # The stop flags may be others now: the same fit goes on for as long as they say.
            self.finished = self.fit.reached or bool(self.recipe.patience and waited >= self.recipe.patience)
            self.weights = arrays["best"]
            model.set_weights(arrays["weights"])
            for variable, value in zip(optimizer.variables, arrays.get("optimizer", []), strict=True):
                variable.assign(value)
        else:
            self.fit.stages.append(len(self.fit.history) + 1)
            if self.fit.best_epoch:  # a later stage: it has to beat what it starts from
                row = self.fit.history[self.fit.best_epoch - 1]
                self.best, self.weights = (row["val_accuracy"], -row["val_loss"]), model.get_weights()
                self.lowest = row["val_loss"]
        start = len(self.fit.history) - (self.fit.stages or [1])[-1] + 1
        size = 4 * (2 * model.count_params() + sum(variable.shape.num_elements() for variable in optimizer.variables))
        self.save_seconds = size / _DISK
        total = self.recipe.epochs * self.steps
        self.bar = progress("fitting", total, " steps", initial=start * self.steps)
        return start

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.clock, self.batch = time.perf_counter(), -1

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.update(batch - self.batch)  # several steps are reported as one
        self.batch = batch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        row = {name: float(value) for name, value in (logs or {}).items()}
        row["seconds"] = round(time.perf_counter() - self.clock, 3)
        fit, recipe = self.fit, self.recipe
        if not np.isfinite([row["loss"], row["val_loss"]]).all():
            raise UserError(
                f"the loss became {row['loss']:g} in training and {row['val_loss']:g} in validation, in epoch "
                f"{len(fit.history) + 1}: expected finite ones; try a --learning-rate below {recipe.learning_rate:g}"
            )
        fit.history.append(row)
        this = row["val_accuracy"], -row["val_loss"]
        fit.reached = recipe.stop_at_train_accuracy is not None and row["accuracy"] >= recipe.stop_at_train_accuracy
        if this[0] > self.best[0] or row["val_loss"] < self.lowest - _PROGRESS or not self.weights:
            self.progress = len(fit.history)
        self.lowest = min(self.lowest, row["val_loss"])
        if this > self.best or fit.reached:
            self.best, self.weights, fit.best_epoch = this, _snapshot(self.model.weights), len(fit.history)
        waited = len(fit.history) - max(self.progress, fit.stages[-1] - 1)
        if fit.reached or (recipe.patience and waited >= recipe.patience):
            self.model.stop_training = self.finished = True
        weights, optimizer = _snapshot(self.model.weights), _snapshot(self.model.optimizer.variables)
        arrays = {"weights": weights, "optimizer": optimizer, "best": self.weights}
        values = {"stage": self.number, "fit": asdict(fit)} | {name: getattr(self, name) for name in _STATE}
        self.state = arrays, values
        if time.perf_counter() - self.saved >= 20 * self.save_seconds:  # never for more than a twentieth of the time
            self.save()

    def save(self) -> None:
        """Write the checkpoint, as things stood after the last whole epoch."""
        if not self.checkpoint or not workers().first or not self.state:
            return
        clock = time.perf_counter()
        arrays, values = self.state
        self.checkpoint.save({name: [np.asarray(each) for each in group] for name, group in arrays.items()}, values)
        self.saved = time.perf_counter()
        self.save_seconds = self.saved - clock


def _snapshot(variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
    """Their values as they are now. Nothing is copied before the next step, which writes to memory of its own."""
    return [variable.read_value() for variable in variables]


def _dataset(source: Source, recipe: Recipe | None, width: int, epoch: int = 0) -> tf.data.Dataset:
    """Batches of inputs, targets and weights: epoch after epoch without an end, or once and in order for no recipe.

    One dataset for all epochs: the next one is being loaded already while the last one is measured.
    """
    size = recipe.batch if recipe else _VALIDATION_BATCH
    signature = (
        tf.TensorSpec((None, *source.shape), source.dtype),
        tf.TensorSpec((None, width), tf.float32),
        tf.TensorSpec((None,), tf.float32),
    )
    epochs = count(epoch) if recipe else (0,)
    dataset = tf.data.Dataset.from_generator(
        lambda: (batch for number in epochs for batch in _batches(source, recipe, width, size, number)),
        output_signature=signature,
    )
    steps = tf.data.INFINITE_CARDINALITY if recipe else _steps(source, size)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    options.autotune.enabled = False  # nothing to tune, and its thread holds up the end of an iterator for seconds
    return dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2).with_options(options)


def _steps(source: Source, batch: int) -> int:
    """Batches in an epoch: all of one size, or one more, and none of the few that are left over."""
    return max(1, round(len(source.labels) / batch))


def _batches(source: Source, recipe: Recipe | None, width: int, size: int, epoch: int) -> Iterator[tuple]:
    targets = (
        source.labels[:, None].astype(np.float32) if width == 1 else np.eye(width, dtype=np.float32)[source.labels]
    )
    weights = np.ones(len(targets), np.float32)
    order = np.arange(len(targets))
    random = None
    if recipe:
        random = np.random.default_rng([recipe.seed, epoch])
        random.shuffle(order)
        if recipe.balance:
            counts = np.bincount(source.labels)
            weights = (len(targets) / (len(counts) * counts))[source.labels].astype(np.float32)
    for index in np.array_split(order, _steps(source, size)):
        inputs, target = source.load(index, random), targets[index]
        if recipe and recipe.mixup:
            share = np.float32(random.beta(recipe.mixup, recipe.mixup))  # type: ignore[union-attr]
            other = random.permutation(len(index))  # type: ignore[union-attr]
            inputs = (share * inputs + (1 - share) * inputs[other]).astype(inputs.dtype)
            target = share * target + (1 - share) * target[other]
        yield inputs, target, weights[index]


def scores(model: keras.Model, source: Source) -> np.ndarray:
    """What the model says of each example, dropout off, float32 (examples, labels)."""
    if not len(source.labels):
        return np.empty((0, max(2, model.output_shape[-1])), np.float32)
    outputs = [
        model(source.load(np.arange(start, min(start + _VALIDATION_BATCH, len(source.labels))), None), training=False)
        for start in range(0, len(source.labels), _VALIDATION_BATCH)
    ]
    return as_scores(np.concatenate(outputs))


def as_scores(output: np.ndarray) -> np.ndarray:
    """One column a label, (pictures, labels): a single sigmoid p becomes [1 - p, p]."""
    return np.hstack([1 - output, output]) if output.shape[1] == 1 else output
