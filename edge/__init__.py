"""What runs on the device: pictures in, labels out. Needs numpy, OpenCV and one TFLite runtime.

from edge import Classifier

with Classifier("best.tflite") as classifier:
    print(classifier.classify(frame).label)
"""

import os

# OpenCV reads these: a header that promises a gigapixel must not become gigabytes; and what fails is told in one line
# of our own, while the log of FFmpeg (-8: quiet) would show addresses, passwords and all.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

from edge.errors import UserError
from edge.model.classifier import Classifier, Result
from edge.model.contract import ModelSpec

__all__ = ["Classifier", "ModelSpec", "Result", "UserError"]
