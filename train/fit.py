"""Fits the head on features that were computed once."""

from dataclasses import dataclass, field

import numpy as np

from train.features import Features
from train.keras import keras
from train.progress import progress


@dataclass
class Fit:
    """How a fit went: one row an epoch (accuracy, loss, val_accuracy, val_loss), and the epoch that was kept."""

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0


class _Batches(keras.utils.Sequence):
    """Shuffled batches of features and labels, read from disk as they are needed."""

    def __init__(self, features: Features, labels: np.ndarray, size: int, seed: int | None) -> None:
        super().__init__()
        self.features, self.labels, self.size = features, labels, size
        self.random = None if seed is None else np.random.default_rng(seed)
        self.order = np.arange(len(labels))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        index = self.order[number * self.size : (number + 1) * self.size]
        return self.features[index], self.labels[index]

    def on_epoch_end(self) -> None:
        if self.random is not None:
            self.random.shuffle(self.order)


class _KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the best epoch: most right on validation, then the lowest loss; stops without progress."""

    def __init__(self, fit: Fit, patience: int, epochs: int) -> None:
        super().__init__()
        self.fit, self.patience = fit, patience
        self.best: tuple[float, float] | None = None
        self.weights: list[np.ndarray] = []
        self.bar = progress("fitting", epochs, " epochs")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        row = {name: float(value) for name, value in (logs or {}).items()}
        self.fit.history.append(row)
        self.bar.update()
        this = row["val_accuracy"], -row["val_loss"]
        if self.best is None or this > self.best:
            self.best, self.weights, self.fit.best_epoch = this, self.model.get_weights(), epoch + 1
        elif epoch + 1 - self.fit.best_epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.bar.close()
        self.model.set_weights(self.weights)


def fit_head(
    head: keras.Model,
    train: tuple[Features, np.ndarray],
    validation: tuple[Features, np.ndarray],
    epochs: int = 40,
    batch: int = 32,
    learning_rate: float = 1e-3,
    patience: int = 10,
    seed: int = 0,
) -> Fit:
    """Fit `head` (features to scores) and leave it with the weights of its best epoch on validation.

    Args:
        train, validation: features and integer labels, int64 (pictures,).
        patience: epochs without a better one before it stops.
    """
    one_unit = head.output_shape[-1] == 1
    loss = "binary_crossentropy" if one_unit else "sparse_categorical_crossentropy"
    metric = keras.metrics.BinaryAccuracy if one_unit else keras.metrics.SparseCategoricalAccuracy
    head.compile(keras.optimizers.Adam(learning_rate), loss, [metric(name="accuracy")])
    fit = Fit()
    head.fit(
        _Batches(*train, batch, seed),
        validation_data=_Batches(*validation, 256, None),
        epochs=epochs,
        verbose=0,
        shuffle=False,
        callbacks=[_KeepBest(fit, patience, epochs)],
    )
    return fit


def as_scores(output: np.ndarray) -> np.ndarray:
    """One column a label, (pictures, labels): a single sigmoid p becomes [1 - p, p]."""
    return np.hstack([1 - output, output]) if output.shape[1] == 1 else output
