"""How many pictures of something else each model answers, by likeness and score, and by the score alone.

    python -m tests.bench.unknown runs/clothing runs/horses-or-humans runs/sample

Each int8 file sees all pictures of the runs with other labels, which are all foreign to it. Of its own pictures, those
that it was not fitted on (test, else validation), it counts the right answers that become "unknown"; the score alone
gets a limit that refuses as many of them.
"""

import sys

from edge import Classifier
from edge.model.classifier import UNKNOWN
from edge.pictures import read_picture
from tests.bench.table import markdown
from train.rundir import Run, read_run


def main(folders: list[str]) -> str:
    rows = [["known", "foreign", "answered", "by score alone", "right answers refused"]]
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        with Classifier(run.folder / "export" / "int8.tflite") as classifier:
            right, refused, limit = _own(run, classifier)
            for other in runs:
                if other.spec.labels != run.spec.labels:
                    answered, by_score, count = _foreign(other, classifier, limit)
                    refusals = f"{refused} of {right}"
                    rows.append([run.folder.name, other.folder.name, f"{answered} of {count}", str(by_score), refusals])
                    print(rows[-1], file=sys.stderr)
    return markdown(rows)


def _own(run: Run, classifier: Classifier) -> tuple[int, int, float]:
    """How many answers are right, how many of those become "unknown", and the score that refuses as many."""
    scores, refused = [], 0
    for picture in run.test or run.validation:
        result = classifier.classify(read_picture(picture.path))
        if result.top[0][0] == run.spec.labels[picture.label]:
            scores.append(result.score)
            refused += result.label == UNKNOWN
    return len(scores), refused, sorted(scores)[refused]


def _foreign(run: Run, classifier: Classifier, limit: float) -> tuple[int, int, int]:
    pictures = [*run.train, *run.validation, *run.test]
    results = [classifier.classify(read_picture(picture.path)) for picture in pictures]
    answered = sum(result.label != UNKNOWN for result in results)
    return answered, sum(result.score >= limit for result in results), len(results)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
