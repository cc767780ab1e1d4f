"""A backbone alone as a `.tflite` file, for `python -m edge teach`: features, and no labels yet.

    python -m convert.backbone efficientnet-lite0 --out dist/efficientnet-lite0.tflite
    python -m convert.backbone efficientnet-lite0 --calibration-dir photos --out …

float16 without photos: half the bytes, and features as in float. With a hundred photos of any kind it is int8,
which is faster on a small device.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from convert.calibrate import choose_pictures, folder_pictures, observe, samples
from convert.export import package
from convert.graph import Graph
from convert.quantize import quantize
from edge.cli import Parser, run_command
from edge.files import whole
from edge.model.contract import ModelSpec
from train.backbones import build_backbone
from train.keras import converted
from train.model import build_classifier
from train.progress import waiting

LABEL = "untaught"  # a graph of TFLite has an output, and a contract a label
_PICTURES = 200


def backbone_file(name: str, photos: Path | None, out: Path) -> str:
    """Write the file; its scheme.

    Args:
        name: of `train.backbones`.
        photos: to calibrate int8 with.
    """
    pictures = choose_pictures(folder_pictures(photos), _PICTURES) if photos else []
    base, entry = build_backbone(name)
    side = base.input_shape[1]
    spec = ModelSpec((LABEL,), (side, side), mean=entry.mean, std=entry.std, backbone=name)
    graph = Graph(converted(build_classifier(base, 1, taps=entry.taps)))
    graph.name_apart()
    scheme = "int8" if pictures else "float16"
    seen = observe(graph, (tensor for (tensor,) in samples(pictures, spec))) if pictures else None
    data = quantize(graph.pack(), scheme, spec, seen)
    with whole(out) as part:
        part.write_bytes(package(data, replace(spec, scheme=scheme)))
    return scheme


def parse_arguments() -> argparse.Namespace:
    parser = Parser("python -m convert.backbone", description="Write a backbone with its features, to be taught.")
    parser.add_argument("name", metavar="BACKBONE", help="as for python -m train --backbone")
    parser.add_argument("--calibration-dir", metavar="DIR", type=Path, help="photos of any kind: then it is int8")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    with waiting("making the backbone's file"):
        scheme = backbone_file(options.name, options.calibration_dir, options.out)
    print(f"{options.out}: {options.name}, {scheme}, {options.out.stat().st_size / 1e6:.1f} MB")
    print(f"next: python -m edge teach {options.out} --source 0 --preview 8080")


if __name__ == "__main__":
    run_command(main)
