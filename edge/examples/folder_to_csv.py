"""A table of what is on each picture.    python edge/examples/folder_to_csv.py best.tflite photos out.csv"""

import csv
import sys
from pathlib import Path

from edge import Classifier
from edge.sources.table import open_source

model, folder, out = sys.argv[1:]
with Classifier(model) as classifier, Path(out).open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["picture", "label", "score"])
    for frame in open_source(folder):
        if frame is None:  # a live source that has nothing just now
            continue
        result = classifier.classify(frame.image)
        table.writerow([frame.source, result.label, f"{result.score:.3f}"])
