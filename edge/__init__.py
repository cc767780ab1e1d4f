"""What runs on the device: pictures in, labels out. Needs numpy, OpenCV and one TFLite runtime.

from edge import Classifier

with Classifier("best.tflite") as classifier:
    print(classifier.classify(frame).label)
"""

import os

# OpenCV reads this once, when it is loaded: a header that promises a gigapixel must not become gigabytes.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

from edge.classifier import Classifier, Result
from edge.contract import ModelSpec
from edge.errors import UserError

__all__ = ["Classifier", "ModelSpec", "Result", "UserError"]
