"""Trains a classifier on a folder of photos.

    python -m train --data photos --out runs/photos
    python -m train --data photos --out runs/photos --augment 4 --dropout 0.5 --seed 7
    python -m train --data photos --out runs/photos --backbone mobilenet-v2 --unfreeze block_13_expand
    python -m train --data photos --out runs/photos --minutes 10
    python -m train --data photos --out runs/study --study dropout --dense 1024 --dropout 0.5
    python -m train --data photos --doctor
    python -m train --data photos --doctor --apply doctor.csv
    python -m train --list-backbones
    python -m train --list-layers inception-v3

`photos` has one folder per class, either below `train/` and `validation/` or on one level that is split here.
"""

import time

from edge.cli import run_command
from edge.errors import UserError
from train.options import parse_arguments


def main() -> int:
    started = time.perf_counter()
    options = parse_arguments(__doc__ or "")
    if options.list_backbones or options.list_layers:
        from train.catalogue import list_backbones, list_layers

        name, size, width = options.list_layers, options.size, options.width
        for line in list_layers(name, size, width) if name else list_backbones(size, width):
            print(line, flush=True)
        return 0

    from train.dataset import load_dataset
    from train.named import data_folder
    from train.progress import say
    from train.rundir import news

    if file := next((path for path in (options.out, *options.out.parents) if path.is_file()), None):
        raise UserError(f"--out: expected a folder, found a file: {file}")
    data = load_dataset(data_folder(options.data), seed=options.seed)
    if options.apply:
        from train.doctor_table import apply_table

        for source, target in apply_table(options.apply, data).items():
            say(f"moved {source} to {target}")
        return 0
    data.tell()
    if told := news(options.out, data):
        say(told)

    # TensorFlow takes seconds to load: bad data should be told of before.
    if options.doctor:
        from train.doctor_command import consult

        return consult(options, data)
    if options.study:
        from train.study import dropout_study

        return dropout_study(options, data)
    if options.minutes:
        from train.search import search

        return search(options, data, started)
    from train.run import train_run

    return train_run(options, data, started)


if __name__ == "__main__":
    run_command(main)
