"""`python -m edge collect`: the camera that will be classified makes the photos to train on."""

import sys
import threading
import time
from argparse import Namespace

from edge.errors import UserError
from edge.live import termination
from edge.sinks.base import Ended
from edge.sinks.overlay import caption
from edge.sources.base import Mode
from edge.sources.table import open_source
from edge.sources.view import make_view
from edge.store import SaveFolder, check_label

_SAVE = (ord(" "), ord("\r"), ord("\n"))  # keys in the window


def collect(options: Namespace) -> int:
    """Save frames of a camera under a label, in a burst or one for each press of a key."""
    label = check_label(options.label)
    folder = SaveFolder(options.out)
    view = make_view(options.rotate, options.mirror, options.roi)
    burst = options.count is not None
    if not burst and not sys.stdin.isatty() and not (options.preview or options.window):
        raise UserError(
            "collect: expected --count N for a burst, --preview PORT for a button, --window for its keys, or a "
            "terminal for Enter"
        )
    source = open_source(options.source, Mode(options.width, options.height, options.fps, options.fourcc))
    pressed, saved, due = threading.Event(), 0, 0.0
    page = window = None
    try:
        if options.window:
            from edge.sinks.video import Window

            window = Window()
        if options.preview:
            from edge.web.preview import Preview

            page = Preview(options.preview, source.name, folder, labels=(label,), model=[], label=label)
        if not burst and sys.stdin.isatty():
            print(f"Enter saves a frame as {label}, Ctrl-C ends", file=sys.stderr)
            threading.Thread(target=_follow_keys, args=(pressed,), daemon=True).start()
        with termination():
            for frame in source:
                if frame is None:
                    for sink in (page, window):
                        if sink is not None:
                            sink.tick(source.signal())
                    continue
                image = view(frame.image)
                if page is not None:
                    page.show(image)
                if window is not None:
                    counts = ", ".join(f"{name} {count}" for name, count in folder.counts().items())
                    if window.show(caption(image, f"Space: {label}   q: end   {counts}")) in _SAVE:
                        pressed.set()
                if (time.monotonic() >= due) if burst else pressed.is_set():
                    pressed.clear()
                    due = time.monotonic() + options.every if source.live else 0.0
                    print(folder.save(label, image), flush=True)
                    saved += 1
                    if burst and saved >= options.count:
                        break
    except (KeyboardInterrupt, Ended):
        pass  # the usual ways to end
    finally:
        source.close()
        for shown in (page, window):
            if shown is not None:
                shown.close()
    counts = ", ".join(f"{name} {count}" for name, count in folder.counts().items())
    print(f"{options.out}: {counts or 'nothing yet'}", file=sys.stderr)
    return 0


def _follow_keys(pressed: threading.Event) -> None:
    for _ in sys.stdin:
        pressed.set()
