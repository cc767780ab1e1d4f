"""Packs a model with all that a Raspberry Pi needs to run it into one reproducible archive.

    python -m convert.bundle runs/photos/export/best.tflite
    python -m convert.bundle best.tflite --pictures photos/validation --wheels

Writes `dist/frostlite-<model>.tar.gz`: `edge/`, the model, `install.sh`, the service, pinned requirements, and a
self-test: a few pictures with the scores that a device must give. The same input gives the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from packaging.requirements import Requirement
from packaging.tags import cpython_tags
from packaging.utils import parse_wheel_filename

from convert.device import device_runtimes
from edge.cli import Parser, run_command
from edge.errors import UserError
from edge.files import whole
from edge.folder import find_pictures
from edge.model.classifier import Classifier
from edge.model.interpreter import load_runtime
from edge.pictures import read_picture
from edge.selftest import EXPECTED, FOLDER, MODEL, measure

ROOT = Path(__file__).resolve().parent.parent
DEVICE_FILES = ("install.sh", "frostlite.service", "frostlite.conf", "README.md")  # of edge/pi
PICTURES = 8  # of the self-test
_ELSEWHERE = {"pi", "__pycache__"}  # folders below edge/ that are no part of the program
SIDE = 320  # their longest side, pixels


@dataclass(frozen=True)
class Platform:
    """A kind of device: what `install.sh` finds there, and which packages it gets.

    Attributes:
        machine: as the wheels call it.
        python: its version.
        runtime: the TFLite runtime.
        packages: all that pip installs; what is not here comes from the system.
        glibc: the newest symbols that wheels may need.
    """

    machine: str
    python: str
    runtime: str
    packages: tuple[str, ...]
    glibc: tuple[int, int]

    @property
    def name(self) -> str:
        return f"{self.runtime}-py{self.python}-{self.machine}"

    @property
    def markers(self) -> dict[str, str]:
        return {
            "platform_machine": self.machine,
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_python_implementation": "CPython",
        }

    @property
    def tags(self) -> list[str]:
        major, minor = self.glibc
        return [f"manylinux_{major}_{m}_{self.machine}" for m in range(minor, 16, -1)] + [
            f"manylinux2014_{self.machine}",
            f"linux_{self.machine}",
        ]


_LITERT = (
    "ai-edge-litert",
    "backports-strenum",
    "flatbuffers",
    "ml-dtypes",
    "numpy",
    "opencv-python-headless",
    "paho-mqtt",  # for --mqtt, on every platform
    "protobuf",
    "tqdm",
    "typing-extensions",
)
_TFLITE = ("tflite-runtime", "numpy", "opencv-python-headless", "paho-mqtt")

# Raspberry Pi OS of 2023 is Debian 12 with Python 3.11, of 2025 Debian 13 with Python 3.13. NumPy and OpenCV have no
# 32-bit wheels: there they are Debian's.
PI = (
    Platform("aarch64", "3.11", "ai-edge-litert", _LITERT, (2, 36)),
    Platform("aarch64", "3.13", "ai-edge-litert", _LITERT, (2, 41)),
    Platform("aarch64", "3.11", "tflite-runtime", _TFLITE, (2, 36)),
    Platform("armv7l", "3.11", "tflite-runtime", ("tflite-runtime", "paho-mqtt"), (2, 36)),
)
# Other Linux machines of today run the bundle too.
OTHERS = (
    Platform("aarch64", "3.12", "ai-edge-litert", _LITERT, (2, 39)),
    *(Platform("x86_64", python, "ai-edge-litert", _LITERT, (2, 35)) for python in ("3.10", "3.11", "3.12", "3.13")),
    Platform("x86_64", "3.11", "tflite-runtime", _TFLITE, (2, 35)),
)


def parse_arguments() -> argparse.Namespace:
    parser = Parser("python -m convert.bundle", description="Pack a model for a Raspberry Pi.")
    parser.add_argument("model", metavar="MODEL", type=Path, help="a .tflite file of `python -m convert`")
    parser.add_argument(
        "--pictures",
        metavar="DIR",
        type=Path,
        help="pictures for the self-test; default: validation pictures of the run that the model lies in",
    )
    parser.add_argument("--wheels", action="store_true", help="put the Arm wheels in, to install without a network")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("dist"), help="default: dist")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    path = bundle(options.model, choose_pictures(options.model, options.pictures), options.out, options.wheels)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; next: make deploy PI=user@host MODEL={options.model}")


def choose_pictures(model: Path, folder: Path | None) -> list[Path]:
    """A few pictures for the self-test, evenly out of `folder`, or of the validation pictures of the model's run.

    Raises:
        UserError: if there is none.
    """
    if folder:
        found = find_pictures(folder).pictures
    else:
        from train.rundir import SPLIT, read_run

        run = model.resolve().parent.parent
        if not (run / SPLIT).is_file():
            raise UserError(f"{model}: lies in no run directory; try: --pictures DIR (make: PICTURES=DIR)")
        found = [picture.path for picture in read_run(run).validation if picture.path.is_file()]
    if not found:
        raise UserError(f"{folder or model}: expected pictures for the self-test, found none")
    return found[:: -(-len(found) // PICTURES)]


def bundle(model: Path, pictures: Sequence[Path], out: Path, wheels: bool = False) -> Path:
    """Write the archive; returns its path.

    Raises:
        UserError: if the model or a picture is not usable, a wheel cannot be had, or this is an installed package.
    """
    if not (ROOT / "constraints.txt").is_file():
        raise UserError("bundle: expected a clone of the project, which has the parts for a Pi; found a package")
    with Classifier(model):
        pass  # whatever is wrong with the model is told here
    paths = [path for path in (ROOT / "edge").rglob("*") if path.is_file()]
    program = [path for path in paths if not _ELSEWHERE & {*path.relative_to(ROOT).parts}]
    files = {str(path.relative_to(ROOT)): path.read_bytes() for path in program}
    files |= {name: (ROOT / "edge" / "pi" / name).read_bytes() for name in DEVICE_FILES}
    files["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    files[MODEL] = model.read_bytes()
    for platform in (*PI, *OTHERS):
        files[f"requirements/{platform.name}.txt"] = "".join(f"{pin}\n" for pin in pins(platform)).encode()
    files |= _selftest(files[MODEL], pictures)
    if wheels:
        files |= {f"wheels/{path.name}": path.read_bytes() for path in fetch_wheels(PI)}
    # The name of a version says what is in it: another file, another name.
    digest = hashlib.sha256()
    for name in sorted(files):
        if not name.startswith("wheels/"):
            digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    files["VERSION"] = f"{model.stem}-{digest.hexdigest()[:12]}\n".encode()
    path = out / f"frostlite-{model.stem}.tar.gz"
    with whole(path) as part:
        part.write_bytes(_archive(f"frostlite-{model.stem}", files))
    return path


def measure_for_device(model: Path, pictures: Sequence[Path], runtime: str) -> dict[str, Any]:
    """What an Arm device is expected to make of the pictures; see `measure`. Run it in a process of its own.

    LiteRT computes the same on both processors. tflite-runtime on Arm computes what its reference kernels do, while
    its kernels for x86 round halves in CONV_2D to the other side.
    """
    if runtime == "tflite-runtime":
        module = load_runtime(runtime)[1]
        reference = module.OpResolverType.BUILTIN_REF
        module.Interpreter = partial(module.Interpreter, experimental_op_resolver_type=reference)
    return measure(model, pictures, runtime)


def pins(platform: Platform) -> list[str]:
    """`name==version` of every package of a platform, as `constraints.txt` has them.

    Raises:
        UserError: if one is missing there.
    """
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(platform.markers):
                found[requirement.name] = f"{requirement.name}{requirement.specifier}"
    missing = [name for name in platform.packages if name not in found]
    if missing:
        raise UserError(f"constraints.txt: expected {', '.join(missing)} for {platform.name}, found none")
    return [found[name] for name in sorted(platform.packages)]


def fetch_wheels(platforms: Sequence[Platform]) -> list[Path]:
    """The wheels of the platforms, downloaded once and then kept in the cache."""
    from train.cache import cache_folder
    from train.progress import progress

    folder = cache_folder() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    wanted: set[Path] = set()
    with progress("wheels", len(platforms), " platforms", iterable=platforms) as each:
        for platform in each:
            wheels = [_wheel(folder, pin, platform) for pin in pins(platform)]
            missing = [pin for pin, path in zip(pins(platform), wheels, strict=True) if path is None]
            if missing:
                tags = [option for tag in platform.tags for option in ("--platform", tag)]
                target = ["--python-version", platform.python, "--implementation", "cp", *tags]
                command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
                job = subprocess.run([*command, *target, "-d", folder, *missing], capture_output=True, text=True)
                if job.returncode != 0:
                    reason = (job.stderr.strip().splitlines() or ["no message"])[-1]
                    raise UserError(f"--wheels: {platform.name}: pip download: {reason}")
                wheels = [_wheel(folder, pin, platform) for pin in pins(platform)]
            wanted.update(path for path in wheels if path)
    return sorted(wanted)


def _wheel(folder: Path, pin: str, platform: Platform) -> Path | None:
    """The wheel of `pin` in the folder that the platform takes, if it is there."""
    major, minor = map(int, platform.python.split("."))
    usable = {str(tag) for tag in cpython_tags((major, minor), platforms=platform.tags)}
    usable |= {f"{kind}-none-any" for kind in ("py3", f"cp{major}{minor}")}
    for path in sorted(folder.glob("*.whl")):
        name, version, _, tags = parse_wheel_filename(path.name)
        if f"{name}=={version}" == pin and usable & {str(tag) for tag in tags}:
            return path
    return None


def _selftest(model: bytes, pictures: Sequence[Path]) -> dict[str, bytes]:
    """The files of the self-test: the pictures, small and lossless, and what each runtime must make of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / MODEL).write_bytes(model)
        frames = [_small(read_picture(picture)) for picture in pictures]
        # A blend of two classes scores in between, where a changed graph shows first.
        for i in range(len(frames) // 2):
            other = cv2.resize(frames[-1 - i], frames[i].shape[1::-1], interpolation=cv2.INTER_AREA)
            frames[-1 - i] = cv2.addWeighted(frames[i], 0.5, other, 0.5, 0)
        paths = [folder / f"{index}.png" for index in range(len(frames))]
        for path, frame in zip(paths, frames, strict=True):
            cv2.imwrite(str(path), frame)
        scores, features, tensors, labels, reasons = {}, {}, [], [], {}
        for runtime in device_runtimes():
            # A process each: a model may kill its runtime, and two runtimes in one process may disagree.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                try:
                    found = pool.submit(measure_for_device, folder / MODEL, paths, runtime).result()
                except (UserError, BrokenProcessPool) as error:
                    reasons[runtime] = str(error)
                    continue
            scores[runtime] = found["scores"]
            tensors, labels = found["tensors"], found["labels"]
            if found["features"]:
                features[runtime] = found["features"]
        if not scores:
            raise UserError(f"no runtime could run the model: {reasons}")
        names = [path.name for path in paths]
        expected = {"pictures": names, "labels": labels, "tensors": tensors, "scores": scores}
        if features:
            expected["features"] = features
        files = {f"{FOLDER}/{path.name}": path.read_bytes() for path in paths}
        files[f"{FOLDER}/{EXPECTED}"] = (json.dumps(expected, indent=1) + "\n").encode()
        return files


def _small(frame: np.ndarray) -> np.ndarray:
    scale = min(1.0, SIDE / max(frame.shape[:2]))
    side = [max(1, round(length * scale)) for length in frame.shape[1::-1]]
    return cv2.resize(frame, side, interpolation=cv2.INTER_AREA)


def _archive(folder: str, files: dict[str, bytes]) -> bytes:
    """A tar.gz that depends on nothing but its content: sorted, no owners, no times."""
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(files[name])
            entry.mode = 0o755 if name.endswith(".sh") else 0o644
            entry.mtime = 1
            tar.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


if __name__ == "__main__":
    run_command(main)
