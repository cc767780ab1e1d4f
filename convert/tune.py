"""Training-time schemes: the finished model is fitted a little more while it learns to be quantized or compressed.

Each step starts from the model before it, fits the whole network on training pictures with the usual augmentation,
and resumes where it stopped: after every round its state is in the cache, by the content of the model.
"""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot

from convert.calibrate import samples
from convert.job import Job
from edge.model.preprocess import prepare
from edge.quiet import quiet
from train.augment import views
from train.cache import cache_folder, locked
from train.checkpoint import Checkpoint
from train.dataset import Picture
from train.keras import keras, layers
from train.progress import progress, say

BATCH = 16
ROUNDS = 3  # each of at most `BATCHES` batches; after each the state is kept
BATCHES = 20
SPARSITY = 0.5
CLUSTERS = 32
RANGE_PICTURES = 32
_VERSION = 3  # of the fit: what another one left in the cache is of no use


@dataclass(frozen=True)
class Step:
    """One entry of the table: how a model is made ready to learn something, and what remains of it afterwards."""

    wrap: Callable[[keras.Model, Job], keras.Model]
    unwrap: Callable[[keras.Model, keras.Model], keras.Model]
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list
    learning_rate: float = 1e-5


def tune(job: Job, steps: Sequence[str]) -> tuple[keras.Model, dict[str, Any]]:
    """Put a model through steps of the table, with what was done as JSON values."""
    assert job.model is not None  # `refusal`
    model = trainable_copy(job.model)
    how = job.model.to_json(), job.spec.to_json(), BATCH, ROUNDS, BATCHES, job.augmentation, _VERSION
    digest = hashlib.sha256(repr(how).encode())
    for weight in job.model.get_weights():
        digest.update(weight.tobytes())
    for picture in (*job.train, *job.calibration):
        digest.update(f"{picture.digest} {picture.label}".encode())
    losses = {}
    for name in steps:
        step = STEPS[name]
        digest.update(repr((name, step.learning_rate)).encode())
        with quiet():
            wrapped = step.wrap(model, job)
        losses[name] = _fit(wrapped, job, name, digest.hexdigest()[:32])
        model = trainable_copy(step.unwrap(wrapped, model))  # what was stripped is wired to the model that was wrapped
    return model, {"steps": list(steps), "pictures": ROUNDS * _batches(job.train) * BATCH, "loss": losses}


def refusal(model: keras.Model | None, steps: Sequence[str]) -> str | None:
    """Why a model cannot go through steps of the table, found in seconds; None if it can."""
    if model is None:
        return "a .tflite file cannot be trained: give the Keras model"
    if not any(isinstance(layer, layers.Conv2D | layers.Dense) for layer in model.layers):
        return "this model is one opaque layer, and training-time schemes cannot see into it"
    if "quantize" in steps:
        try:
            with quiet():
                tfmot.quantization.keras.quantize_apply(tfmot.quantization.keras.quantize_annotate_model(model))
        except Exception as error:  # whatever it raises, it cannot wrap this model
            reason = " ".join(str(error).split())[:160]
            return f"tensorflow-model-optimization cannot wrap this backbone ({reason}); try --scheme selective-int8"
    return None


def trainable_copy(model: keras.Model) -> keras.Model:
    """A copy in which all layers learn, but for the statistics of batch normalization: the batches are few."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    return copy


def _quantize(model: keras.Model, job: Job) -> keras.Model:
    wrapped = tfmot.quantization.keras.quantize_apply(tfmot.quantization.keras.quantize_annotate_model(model))
    _measured_ranges(wrapped, model, job)
    return wrapped


def _unquantized(wrapped: keras.Model, model: keras.Model) -> keras.Model:
    """The model with the weights that were fitted; it is quantized like any other then, with ranges that are measured.

    What a step before made zero or equal stays so: zeros, and a cluster as the mean of what became of it.
    """
    ends = "_min:0", "_max:0", "optimizer_step:0"
    found = {
        wrapper.layer.name: [weight.numpy() for weight in wrapper.weights if not weight.name.endswith(ends)]
        for wrapper in wrapped.layers
        if hasattr(wrapper, "layer")
    }
    names = {layer.name for layer in model.layers}
    apart = [weights for name, weights in found.items() if name not in names]  # of separable convolutions: two layers
    for layer in model.layers:
        if before := layer.get_weights():
            after = list(found.get(layer.name, []))
            while len(after) < len(before):
                after += apart.pop(0)
            layer.set_weights([_tied(*pair) for pair in zip(before, after, strict=True)])
    return model


def _tied(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    if before.ndim < 2:
        return after
    values, which = np.unique(before, return_inverse=True)
    means = np.bincount(which.ravel(), after.ravel()) / np.bincount(which.ravel())
    return np.where(values == 0, 0, means)[which].reshape(before.shape)


def _measured_ranges(wrapped: keras.Model, model: keras.Model, job: Job) -> None:
    """Start the ranges of the activations where calibration pictures put them.

    They would start at -6 to 6 and move by a thousandth a batch: too slow for a short fit.
    """
    inner = {layer.name: layer.output for layer in model.layers[1:]}
    for layer in model.layers:
        if getattr(layer, "activation", None) is keras.activations.softmax and layer.weights:
            inner[layer.name] = _linear(layer)(layer.input)  # its range is that of the logits
    outputs = keras.Model(model.input, inner)
    low, high = dict.fromkeys(inner, 0.0), dict.fromkeys(inner, 0.0)
    for tensor, *_ in samples(job.calibration[:RANGE_PICTURES], job.spec):
        for name, value in outputs(tensor, training=False).items():
            low[name] = min(low[name], float(value.numpy().min()))
            high[name] = max(high[name], float(value.numpy().max()))
    for layer in wrapped.layers:
        for weight in layer.weights:
            name, end = layer.name.removeprefix("quant_"), weight.name.rpartition("/")[2]
            if end in ("output_min:0", "post_activation_min:0", "pre_activation_min:0") and name in low:
                weight.assign(low[name])
            elif end in ("output_max:0", "post_activation_max:0", "pre_activation_max:0") and name in high:
                weight.assign(high[name])


def _linear(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of a layer without its activation."""
    copy = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    copy.build(layer.input_shape)
    copy.set_weights(layer.get_weights())
    return copy


def _prune(model: keras.Model, job: Job) -> keras.Model:
    # The share of zeros rises over the first three quarters of the batches; the rest heals.
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, SPARSITY, 0, ROUNDS * _batches(job.train) * 3 // 4, frequency=5
    )
    return tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)


def _cluster(model: keras.Model, job: Job) -> keras.Model:
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        # tensorflow-model-optimization leaves out such convolutions itself, but fails at such a Dense.
        if isinstance(layer, layers.Dense) and math.prod(layer.kernel.shape) < CLUSTERS:
            return layer
        return tfmot.clustering.keras.cluster_weights(layer, CLUSTERS, start)

    return keras.models.clone_model(model, clone_function=wrap)


STEPS = {
    # Low rates: a fitted model has next to no loss, and of gradients that are noise Adam makes full steps. At 1e-4 the
    # loss on training rose, and up to five of 256 validation pictures were lost.
    "quantize": Step(_quantize, _unquantized),
    "prune": Step(
        _prune,
        lambda wrapped, model: tfmot.sparsity.keras.strip_pruning(wrapped),
        lambda: [tfmot.sparsity.keras.UpdatePruningStep()],
        3e-4,  # half of the weights are gone: the others have further to go
    ),
    "cluster": Step(_cluster, lambda wrapped, model: tfmot.clustering.keras.strip_clustering(wrapped)),
}


def _fit(model: keras.Model, job: Job, name: str, key: str) -> float:
    """Fit in place, from where an earlier fit was stopped, or take what it left; returns the last loss."""
    folder = cache_folder() / "tuned"
    with locked(folder / f"{key}.lock"):
        checkpoint = Checkpoint(folder / f"{key}.npz", key)
        optimizer = keras.optimizers.Adam(STEPS[name].learning_rate)
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy())
        done, loss = 0, math.nan
        if found := checkpoint.load():
            arrays, values = found
            done, loss = values["rounds"], values["loss"]
            model.set_weights(arrays["weights"])
            for variable, value in zip(optimizer.variables, arrays.get("optimizer", []), strict=done < ROUNDS):
                variable.assign(value)
            if done < ROUNDS:
                say(f"{name}: continuing after round {done} of {ROUNDS}, where it was stopped")
        size = _batches(job.train)
        with progress(name, ROUNDS * size, " batches", initial=done * size) as bar:
            tell = keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: bar.update())
            for number in range(done, ROUNDS):
                history = model.fit(
                    _Batches(job, number), shuffle=False, verbose=0, callbacks=[*STEPS[name].callbacks(), tell]
                )
                loss = float(history.history["loss"][-1])
                arrays = {"weights": model.get_weights()}
                if number + 1 < ROUNDS:
                    arrays["optimizer"] = [variable.numpy() for variable in optimizer.variables]
                checkpoint.save(arrays, {"rounds": number + 1, "loss": loss})
        return loss


class _Batches(keras.utils.Sequence):
    """The batches of a round: views of training pictures, others in every round, the same in every run."""

    def __init__(self, job: Job, round_: int) -> None:
        super().__init__()
        self.job, self.round = job, round_
        self.pool = ThreadPoolExecutor()

    def __len__(self) -> int:
        return _batches(self.job.train)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        number += self.round * len(self)
        chosen = random.Random(number).sample(self.job.train, min(BATCH, len(self.job.train)))
        drawn = views(chosen, self.job.augmentation, [number])
        tensors = self.pool.map(lambda view: prepare(view.frame(self.job.spec), self.job.spec), drawn)
        return np.concatenate(list(tensors)), np.array([view.label for view in drawn])


def _batches(pictures: Sequence[Picture]) -> int:
    return max(1, min(BATCHES, len(pictures) // BATCH))
