"""The page of a lesson: the live picture with its answer, a button for each label, and all frames in a grid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import UserError
from edge.sinks.base import Moment
from edge.taught import EQUAL, SAME, Taught
from edge.web.preview import Preview


class LessonPage(Preview):
    """A page at `address`, as that of `edge.web.preview`, that teaches.

    Args:
        taught: the lesson.
        out: the file that Save writes.
    """

    index = "teach.html"

    def __init__(self, address: str, source: str, taught: Taught, out: Path) -> None:
        self.taught, self.out = taught, out
        self._saved = taught.changes
        model = [("file", taught.file.path.name), ("saves", str(out)), ("photos", str(taught.folder.root))]
        super().__init__(address, source, taught.folder, labels=(), model=model)

    def actions(self) -> dict[str, Callable[[dict[str, Any]], str]]:
        return {"/take": self._take_frame, "/label": self._label, "/throw": self._throw_out, "/finish": self._finish}

    def is_saved(self) -> bool:
        """Whether the file has what was learnt."""
        return self._saved == self.taught.changes

    def file(self, path: str) -> tuple[bytes, str] | None:
        """`/frames/N.jpg`: a frame, small; `/frames`: number and label of all, the newest first."""
        if path == "/frames":
            frames = [[number, frame.label] for number, frame in list(self.taught.frames.items())]
            return self.as_json(frames[::-1])
        number = path.removeprefix("/frames/").removesuffix(".jpg")
        frame = self.taught.frames.get(int(number)) if number.isdecimal() and len(number) < 10 else None
        return (frame.small, "image/jpeg") if frame else None

    def next(self, after: str, why: bool = False) -> tuple[dict[str, Any], bytes]:
        state, jpeg = super().next(after, why)
        labels = self.taught.table()
        return state | {"changes": self.taught.changes, "saved_all": self.is_saved(), "lesson": labels}, jpeg

    def _answer(self, moment: Moment) -> dict[str, Any]:
        features = moment.result.features
        found = None if features is None else self.taught.answer(features)
        if found is None:
            return {"label": None, "score": None, "scores": [], "why": ""}
        order = np.argsort(-found.scores)[:24] if len(found.scores) > 24 else range(len(found.scores))
        scores = [(found.labels[place], round(float(found.scores[place]), 4)) for place in order]
        best = None if found.why else round(float(found.scores.max()), 4)
        return {"label": found.label, "score": best, "scores": scores, "why": found.why}

    def _take_frame(self, given: dict[str, Any]) -> str:
        newest = self.newest()
        if newest.moment is None or newest.moment.result.features is None:
            raise UserError("there is no frame yet")
        same = SAME if given.get("held") else EQUAL
        taken = self.taught.take(str(given["label"]), newest.image, newest.moment.result.features, same)
        return "taken" if taken else "like one that was taken: move it, turn it, or press again"

    def _label(self, given: dict[str, Any]) -> str:
        return f"added: {self.taught.add_label(str(given['label']))}"

    def _throw_out(self, given: dict[str, Any]) -> str:
        count = self.taught.throw_out([int(given["frame"])])
        return "thrown out" if count else "it was gone"

    def _finish(self, given: dict[str, Any]) -> str:
        changes = self.taught.changes
        told = self.taught.save(self.out)
        self._saved = changes
        return told
