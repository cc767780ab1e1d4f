"""`python -m train.sample DIR`: write the sample and a sheet to see it at a glance."""

from collections.abc import Sequence
from pathlib import Path

from edge.cli import Parser, run_command
from train.sample import contact_sheet, write_sample


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m train.sample", description="Write a drawn data set of horses and humans.")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--train", type=int, default=200, metavar="N", help="training pictures a class (%(default)s)")
    parser.add_argument(
        "--validation", type=int, default=60, metavar="N", help="validation pictures a class (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other pictures (%(default)s)")
    chosen = parser.parse_args(arguments)
    print(contact_sheet(write_sample(chosen.folder, chosen.train, chosen.validation, chosen.seed)))


if __name__ == "__main__":
    run_command(main)
