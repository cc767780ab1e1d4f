"""What is on one picture?    python edge/examples/one_picture.py best.tflite horse.jpg"""

import sys

from edge import Classifier
from edge.pictures import read_picture

model, picture = sys.argv[1:]
with Classifier(model) as classifier:
    result = classifier.classify(read_picture(picture))

print(f"{result.label}, {result.score:.0%}, in {result.ms['total']:.1f} ms")
for label, score in result.top:
    print(f"  {label:<20} {score:.1%}")
