"""Frame in, label out."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path
from types import TracebackType

import numpy as np

from edge.errors import UserError
from edge.model.contract import BANK_FILE, HEAD_FILE, ModelFile, ModelSpec, read_model
from edge.model.head import Head, softmax
from edge.model.interpreter import Interpreter, load_runtime
from edge.model.likeness import from_bytes
from edge.model.preprocess import prepare
from edge.model.trust import survive
from edge.model.why import find_depths, heat_of

UNKNOWN = "unknown"  # what is said when the frame is nothing like the training pictures, or no label is clear
UNLIKE, BETWEEN = "unlike", "between"  # why


@dataclass(frozen=True)
class Result:
    """What the model says of one frame.

    Attributes:
        label: the best label, or "unknown".
        score: the best score, 0 to 1.
        top: the best labels with their scores, best first.
        ms: milliseconds of each stage: "preprocess", "invoke" and "total".
        scores: of all labels in the order of the contract, float32 (labels,).
        why: of "unknown": "unlike", nothing like the training pictures, or "between", no label has a score that
            reaches the threshold; else empty.
        likeness: to the training pictures, -1 to 1; None if the file does not tell.
        features: pooled, of all depths, float32 (features,); None if the file does not tell.
    """

    label: str
    score: float
    top: tuple[tuple[str, float], ...]
    ms: dict[str, float]
    scores: np.ndarray = field(repr=False, compare=False)
    why: str = ""
    likeness: float | None = None
    features: np.ndarray | None = field(default=None, repr=False, compare=False)


class Classifier:
    """A model with its contract, ready to classify frames.

    Args:
        model: path of a `.tflite` file, or one that was read. One that carries no contract is taken by its standard
            metadata; what these do not say, `edge.model.foreign.adopt` takes as arguments.
        threads: for the runtime; None for one per core.
        runtime: "ai-edge-litert", "tflite-runtime" or "tensorflow"; None for the first that is installed.
        top_k: how many labels a result carries.
        threshold: the smallest score for an answer other than "unknown"; None for that of the contract. 0 always
            answers, whatever the frame shows.
        why: keep the maps that `heat` is made of.

    Raises:
        UserError: if the model is missing, damaged, does not fit its contract, or does not come through its first run;
            with `why` if it has no linear head on pooled maps.

    Example:
        with Classifier("best.tflite") as classifier:
            result = classifier.classify(cv2.imread("horse.jpg"))
            print(result.label, result.score)
    """

    def __init__(
        self,
        model: str | Path | ModelFile,
        *,
        threads: int | None = None,
        runtime: str | None = None,
        top_k: int = 5,
        threshold: float | None = None,
        why: bool = False,
    ) -> None:
        file = model if isinstance(model, ModelFile) else read_model(model)
        if file.spec is None:
            from edge.model.foreign import adopt

            file = adopt(file)
        assert file.spec is not None
        self.path = file.path
        self.spec: ModelSpec = file.spec
        self.top_k = top_k
        self.threshold = self.spec.threshold if threshold is None else threshold
        try:
            runtime, _ = load_runtime(runtime)
            survive(file.graph, runtime)
            if why and self.spec.head:
                raise UserError("its head was taught on a device, and the graph cannot explain it; convert folds it in")
            self.depths = find_depths(file.graph, len(self.spec.labels)) if why else ()
            more = dict.fromkeys([*self.spec.features, *(depth.place for depth in self.depths)])
            self.interpreter = Interpreter(file.graph, threads, runtime, tuple(more))
            bank = file.files.get(BANK_FILE) if self.spec.features else None
            self.bank = from_bytes(bank) if bank is not None else None
            shape = sum(self.widths()), len(self.spec.labels)
            self.head = Head.from_bytes(file.files[HEAD_FILE], shape) if self.spec.head else None
        except (UserError, ValueError) as error:
            raise UserError(f"{file.path}: {error}") from error
        outputs = len(self.spec.labels) if self.head is None else self.interpreter.output_shape[-1]
        self._asks = self.threshold > 0 or threshold is None  # whether there is a frame that gets no answer
        self._binary = outputs == 2 and self.interpreter.output_shape == (1, 1)
        for name, expected, found in (
            ("input", (1, *self.spec.size, 3), self.interpreter.input_shape),
            ("output", (1, 1 if self._binary else outputs), self.interpreter.output_shape),
        ):
            if expected != found:
                raise UserError(f"{file.path}: by its contract its {name} is {expected}, found {found}")
        # First invocations are slow (memory is touched, kernels are prepared): not the first frame's fault.
        self.scores(np.zeros((*self.spec.size, 3), np.uint8))

    def scores(self, frame: np.ndarray) -> np.ndarray:
        """Scores of all labels, float32 (labels,), that sum to 1, for a BGR uint8 frame (height, width, 3)."""
        return self._finish(self.interpreter.invoke(prepare(frame, self.spec, self.interpreter.input)))

    def classify(self, frame: np.ndarray, smooth: Callable[[np.ndarray], np.ndarray] | None = None) -> Result:
        """Classify a BGR uint8 frame (height, width, 3).

        `smooth` takes the scores of this frame, float32 (labels,), and gives those to answer by; see `edge.smoothing`.
        """
        start = time.perf_counter()
        tensor = prepare(frame, self.spec, self.interpreter.input)
        prepared = time.perf_counter()
        output = self.interpreter.invoke(tensor)
        invoked = time.perf_counter()
        scores = self._finish(output)
        if smooth is not None:
            scores = smooth(scores)
        values = scores.tolist()
        best = nlargest(self.top_k, range(len(values)), key=values.__getitem__)
        top = tuple((self.spec.labels[index], values[index]) for index in best)
        label, score = top[0]
        features, likeness = self._seen()
        why = ""
        if self._asks and likeness is not None and likeness < self.spec.likeness:
            why = UNLIKE
        elif score < self.threshold:
            why = BETWEEN
        ms = {
            "preprocess": (prepared - start) * 1e3,
            "invoke": (invoked - prepared) * 1e3,
            "total": (time.perf_counter() - start) * 1e3,
        }
        return Result(UNKNOWN if why else label, score, top, ms, scores, why, likeness, features)

    def _seen(self) -> tuple[np.ndarray | None, float | None]:
        """The features of the frame that was run last, float32 (features,), and their likeness."""
        if not self.spec.features:
            return None, None
        depths = [self.interpreter.read(name).reshape(-1) for name in self.spec.features]
        likeness = float(self.bank.likeness(depths[-1][None])[0]) if self.bank else None
        return np.concatenate(depths), likeness

    def widths(self) -> list[int]:
        """How many features each depth has, the last one last; none where the file does not tell."""
        return [self.interpreter.read(name).size for name in self.spec.features]

    def heat(self, label: int, rival: int) -> np.ndarray:
        """Which places of the frame that was run last speak for a label, and which for another (`edge.model.why`).

        Only of a classifier that was opened with `why`.
        """
        maps = [self.interpreter.read(depth.place) for depth in self.depths]
        return heat_of(maps, self.depths, label, rival, self.spec)

    def close(self) -> None:
        """Give the runtime's memory back; the classifier cannot be used afterwards."""
        del self.interpreter

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish(self, output: np.ndarray) -> np.ndarray:
        """Scores, float32 (labels,), of an output, float32 (1, labels), or (1, 1) of the second of two labels."""
        if self.head is not None:
            depths = [self.interpreter.read(name).reshape(1, -1) for name in self.spec.features]
            return softmax(self.head.logits(np.concatenate(depths, axis=1)))[0].astype(np.float32)
        scores = output[0]
        logits = self.spec.output == "logits"
        if self._binary:  # a sigmoid p stands for 1 - p and p; its logit z for the logits 0 and z
            scores = np.concatenate([np.zeros_like(scores) if logits else 1 - scores, scores])
        if logits:
            scores = np.exp((scores - scores.max()) / np.float32(self.spec.temperature))
        total = scores.sum()
        return scores / total if total > 0 else np.full_like(scores, 1 / len(scores))
