"""`python -m edge teach`: new labels for a model that has features, on the device, without training.

Its backbone stays as it is. Each frame that is taken gives its features, and the head is solved again.
"""

import sys
import time
from argparse import Namespace
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import UserError
from edge.live import termination
from edge.model.classifier import Classifier
from edge.model.contract import ModelFile
from edge.sinks.base import Moment
from edge.sources.base import Mode, Source
from edge.sources.table import open_source
from edge.sources.view import make_view
from edge.store import SaveFolder
from edge.taught import Taught
from edge.text import one_line

if TYPE_CHECKING:
    from edge.web.lesson import LessonPage

_SHOWN = 1.0  # seconds that each picture of a folder is shown, which is no camera


def teach(options: Namespace, file: ModelFile) -> int:
    """Teach by the photos of a folder, and by a camera if the options name one."""
    camera = options.source is not None or options.preview is not None
    data, out = options.data or Path("photos"), options.out
    if not camera and not options.data:
        raise UserError("teach: expected --data DIR with photos, --source with --preview PORT for a camera, or both")
    if camera and not options.preview:
        raise UserError("teach: --source: expected --preview PORT, the page with a button for each label")
    if options.data and not camera and not data.is_dir():
        raise UserError(f"--data: expected a folder with a folder of photos for each label, found {data}")
    if file.spec is None or not file.spec.features:
        raise UserError(
            f"{file.path}: expected a file of FrostLite that names its features, found none named in it; "
            "make backbone makes one, and so does python -m convert"
        )
    if out.is_dir() or (out.exists() and out.samefile(file.path)):
        raise UserError(f"--out: expected a file other than MODEL, found {out}")
    with Classifier(file, threads=options.threads, runtime=options.runtime, threshold=0) as classifier:
        taught = Taught(file, classifier.widths(), SaveFolder(data), options.keep)
        if data.is_dir():
            for line in taught.read(data, lambda image: features(classifier, image), _progress(data)):
                print(one_line(f"left out: {line}"), file=sys.stderr)
        taught.learn()
        for label in options.label or ():
            taught.add_label(label)
        if camera:
            _with_page(options, classifier, taught)
        else:
            _print(taught)
            print(taught.save(out))
            print(f"next: python -m edge run {out} --source 0; python -m convert {out} for other programs")
    return 0


def features(classifier: Classifier, image: np.ndarray) -> np.ndarray:
    """Those of a BGR uint8 frame (height, width, 3), float32 (features,)."""
    found = classifier.classify(image).features
    assert found is not None  # the file has features: it was asked before
    return found


def _with_page(options: Namespace, classifier: Classifier, taught: Taught) -> None:
    from edge.web.lesson import LessonPage

    asked = Mode(options.width, options.height, options.fps, options.fourcc)
    source = open_source(options.source or "0", asked, wait=True)
    view = make_view(options.rotate, options.mirror, options.roi)
    page = None
    try:
        page = LessonPage(options.preview, source.name, taught, options.out)
        with termination():
            while True:
                count = _show(source, classifier, page, view)
                if source.live:
                    break
                if not count:
                    raise UserError(f"--source: {options.source}: no readable picture in it")
                source.close()
                source = open_source(options.source, asked)  # a folder stands for a camera: it starts anew
    except KeyboardInterrupt:
        pass  # the usual way to end
    finally:
        source.close()
        if page is not None:
            page.close()
    _print(taught)
    if page and not page.is_saved():
        print(f"not saved: what was learnt since the last Save; python -m edge teach {taught.file.path} "
              f"--data {taught.folder.root} learns it again", file=sys.stderr)  # fmt: skip


def _show(source: Source, classifier: Classifier, page: "LessonPage", view: Callable[[np.ndarray], np.ndarray]) -> int:
    """Hand every frame with its features to the page; how many there were."""
    ends: deque[float] = deque(maxlen=30)
    count = 0
    for frame in source:
        page.tick(source.signal())
        if frame is None:
            continue
        frame = replace(frame, image=view(frame.image))
        result = classifier.classify(frame.image)
        ends.append(time.perf_counter())
        fps = (len(ends) - 1) / max(ends[-1] - ends[0], 1e-9)
        page.write(Moment(frame, result, "", None, fps, source.dropped, 0, time.time()))
        count += 1
        if not source.live:
            time.sleep(_SHOWN)
    return count


def _print(taught: Taught) -> None:
    for row in taught.table():
        told = f"{row['frames']} frames" + (f", {row['kept']} kept" if row["kept"] else "")
        if row.get("of"):
            low, high = row["interval"]
            told += f", {row['right']} of {row['of']} right when left out ({low:.0%} to {high:.0%})"
        print(one_line(f"{row['label']}: {told}"))


def _progress(root: Path) -> Callable[[int, int], None]:
    started, told = time.monotonic(), -1

    def tell(done: int, of: int) -> None:
        nonlocal told
        share = 100 * done // of
        if time.monotonic() - started > 2 and share > told and sys.stderr.isatty():
            told = share
            print(f"\rreading {root}: {share} %", end="\n" if done + 1 == of else "", file=sys.stderr, flush=True)

    return tell
