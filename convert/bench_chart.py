"""Draws what `python -m edge bench --json` measured.

python -m convert.bench_chart bench.json bench.png
"""

import json
import sys
from pathlib import Path

from edge.cli import run_command
from edge.errors import UserError
from edge.files import whole


def main() -> None:
    if len(sys.argv) != 3:
        raise UserError(f"expected BENCH.json OUT.png, found {len(sys.argv) - 1} arguments")
    source, out = map(Path, sys.argv[1:])
    try:
        report = json.loads(source.read_bytes())
        model, machine = report["models"][0], report["machine"]
        stages = {name: (time["p50"], time["p95"]) for name, time in model["stages_ms"].items()}
        threads = {name: (time["p50"], time["p95"]) for name, time in model["invoke_ms_by_threads"].items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{source}: expected the JSON of `bench`: {type(error).__name__}: {error}") from error

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=(2, 1), layout="constrained")
    for axes, table, title in ((left, stages, "stage"), (right, threads, "invoke, by threads")):
        names = list(table)[::-1]
        middle, high = zip(*(table[name] for name in names), strict=True)
        axes.barh(names, high, color="#bcd7ee", label="95 %")
        axes.barh(names, middle, height=0.5, color="#1f6fb2", label="median")
        axes.set(title=title, xlabel="milliseconds")
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, loc="lower right")
    figure.suptitle(f"{Path(model['model']).name} on {machine['board']} ({machine['processor']}), {model['runtime']}")
    with whole(out) as part:
        figure.savefig(part, dpi=120)
    print(f"{source}\n{out}")


if __name__ == "__main__":
    run_command(main)
