"""The bundle on Arm, for real: its own install.sh, wheels and programs in emulated Raspberry Pi userlands.

    make test-pi                      every row, with the model of the sample
    python tests/pi/arm.py --model best.tflite --pictures photos/validation bookworm-arm64-litert

Needs root, debootstrap and qemu-user-static with binfmt. A row is a Debian userland (built once, kept in the cache)
under an overlay that is thrown away, without any network: the wheels come out of the bundle. What the model says
there is compared, bit for bit, with what the same runtime says here. Emulated speed is not speed: none is reported.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from convert.bundle import bundle, choose_pictures  # noqa: E402
from edge.cli import run_command  # noqa: E402
from edge.errors import UserError  # noqa: E402
from edge.files import whole  # noqa: E402
from edge.pictures import read_picture  # noqa: E402
from edge.selftest import measure  # noqa: E402
from train.cache import cache_folder, locked  # noqa: E402

MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")


@dataclass(frozen=True)
class Row:
    """One kind of Raspberry Pi: Debian's release and architecture, more packages of it, and the runtime."""

    suite: str
    architecture: str
    runtime: str
    packages: tuple[str, ...] = ()

    @property
    def userland(self) -> str:
        return f"{self.suite}-{self.architecture}"

    @property
    def name(self) -> str:
        return f"{self.userland}-{self.runtime.removeprefix('ai-edge-')}"


ROWS = {
    row.name: row
    for row in (
        Row("bookworm", "arm64", "ai-edge-litert"),  # Raspberry Pi OS of 2023, 64 bit
        Row("bookworm", "arm64", "tflite-runtime"),
        Row("trixie", "arm64", "ai-edge-litert"),  # Raspberry Pi OS of 2025
        Row("bookworm", "armhf", "tflite-runtime", ("python3-numpy", "python3-opencv")),  # 32 bit
    )
}
BASE = ("python3-venv", "ca-certificates")
QEMU = {"arm64": "qemu-aarch64", "armhf": "qemu-arm"}
BINFMT = Path("/proc/sys/fs/binfmt_misc")
INSTALL = "try: sudo apt install -y debootstrap qemu-user-static binfmt-support"
HOME = "/home/pi"
FRAMES = 5  # of the video

# What the user of a Pi would do, and one thing more: raw scores, for the comparison.
ON_DEVICE = """\
set -eu
cd {home}
tar xzf bundle.tar.gz
RUNTIME={runtime} bash {folder}/install.sh
echo '--- again'
RUNTIME={runtime} bash {folder}/install.sh
./frostlite/frostlite selftest --json > selftest.json
./frostlite/frostlite info --json > info.json
./frostlite/frostlite classify --json pictures/*.png > classify.jsonl
./frostlite/frostlite run --source clip.avi --json > run.jsonl
cd frostlite/current
venv/bin/python -c '
import json, platform, sys
from pathlib import Path
from edge.selftest import measure
found = measure(Path("model.tflite"), sorted(Path("{home}/pictures").iterdir()))
found |= {{"python": platform.python_version(), "machine": platform.machine(), "bits": sys.maxsize.bit_length() + 1}}
Path("{home}/scores.json").write_text(json.dumps(found))'
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", metavar="ROW", nargs="*", help=f"default: all of {', '.join(ROWS)}")
    parser.add_argument("--model", type=Path, help="a .tflite file")
    parser.add_argument("--check", action="store_true", help="only say whether this machine can do it")
    parser.add_argument("--pictures", type=Path, help="default: of the run that the model lies in")
    parser.add_argument("--out", type=Path, default=Path("dist/test-pi.json"), help="default: dist/test-pi.json")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        raise UserError(f"expected rows out of {', '.join(ROWS)}, found {', '.join(unknown)}")
    if reason := missing():
        raise UserError(reason)
    if options.check:
        return 0
    if options.model is None:
        raise UserError("--model: expected a .tflite file, found nothing")
    rows = [ROWS[name] for name in options.rows] or list(ROWS.values())
    reports = []
    with tempfile.TemporaryDirectory(prefix="frostlite-pi-") as name:
        work = Path(name)
        chosen = choose_pictures(options.model, options.pictures)
        archive = bundle(options.model, chosen, work, wheels=True)
        write_inputs(chosen, work / "inputs")
        for row in rows:
            started = time.monotonic()
            print(f"\n{row.name}", flush=True)
            folder = userland(row)
            built = time.monotonic()
            report = {"row": row.name, **try_row(row, folder, archive, options.model, work)}
            print(f"  userland {built - started:.0f} s, row {time.monotonic() - built:.0f} s", flush=True)
            reports.append(report)
    with whole(options.out) as part:
        part.write_text(json.dumps(reports, indent=1) + "\n")
    print(f"\n{'row':<32} {'tensors':>8} {'scores':>8} {'largest':>9} {'labels':>7}  (equal of all, bit for bit)")
    for report in reports:
        of = report["pictures"]
        print(
            f"{report['row']:<32} {report['tensors']:>5}/{of} {report['identical']:>5}/{of} "
            f"{report['largest']:>9.5f} {report['labels']:>4}/{of}  {report['verdict']}"
        )
    return 0 if all(report["verdict"] == "ok" for report in reports) else 1


def missing() -> str | None:
    """Why nothing of this can run on this machine, in one line; None if it can."""
    if os.geteuid() != 0:
        return "make test-pi: expected root (for chroot), found an ordinary user; try: sudo make test-pi"
    absent = [name for name in ("debootstrap", "unshare", "chroot") if not shutil.which(name)]
    if absent:
        return f"make test-pi: expected {', '.join(absent)}, found none; {INSTALL}"
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], capture_output=True)
    absent = [name for name in QEMU.values() if not (BINFMT / name).exists()]
    if absent and shutil.which("update-binfmts"):
        subprocess.run(["update-binfmts", "--enable"], capture_output=True)
        absent = [name for name in QEMU.values() if not (BINFMT / name).exists()]
    if absent:
        return f"make test-pi: expected {' and '.join(absent)} in {BINFMT}, found none; {INSTALL}"
    return None


def userland(row: Row) -> Path:
    """The folder of a row's userland; made by debootstrap at the first time."""
    folder = cache_folder() / "pi" / row.userland
    done = folder.with_name(f"{folder.name}.ok")
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not done.exists():
            print(f"  building {folder} (once; takes minutes)", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            command = ["debootstrap", f"--arch={row.architecture}", "--variant=minbase"]
            command += [f"--include={','.join((*BASE, *row.packages))}", row.suite, str(folder), MIRROR]
            log = folder.with_name(f"{folder.name}.log")
            with log.open("w") as output:
                if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode != 0:
                    raise UserError(f"debootstrap failed, see {log}")
            done.touch()
    return folder


def write_inputs(pictures: Sequence[Path], folder: Path) -> None:
    """Lossless pictures for the comparison, as they are and blended (where scores lie between), and a video."""
    (folder / "pictures").mkdir(parents=True)
    frames = [cv2.resize(read_picture(path), (300, 300), interpolation=cv2.INTER_AREA) for path in pictures]
    blends = [cv2.addWeighted(one, 0.5, other, 0.5, 0) for i, one in enumerate(frames) for other in frames[i + 1 :: 2]]
    for index, frame in enumerate((*frames, *blends)):
        cv2.imwrite(str(folder / "pictures" / f"{index:02}.png"), frame)
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (300, 300))
    for index in range(FRAMES):
        writer.write(frames[index % len(frames)])
    writer.release()


def try_row(row: Row, folder: Path, archive: Path, model: Path, work: Path) -> dict:
    """Install and run the bundle in the userland of the row; what came out, against this machine."""
    overlay = Path(tempfile.mkdtemp(dir=work))
    upper, root = overlay / "upper", overlay / "root"
    device = upper / HOME.lstrip("/")
    for path in (device, root, overlay / "work"):
        path.mkdir(parents=True)
    shutil.copy(archive, device / "bundle.tar.gz")
    shutil.copytree(work / "inputs", device, dirs_exist_ok=True)
    script = ON_DEVICE.format(home=HOME, runtime=row.runtime, folder=f"frostlite-{model.stem}")
    (device / "device.sh").write_text(script)
    for path in (device, *device.rglob("*")):
        os.chown(path, 1000, 1000)
    layers = f"lowerdir={folder},upperdir={upper},workdir={overlay / 'work'}"
    inside = f"""set -e
mount -t overlay overlay -o {layers} {root}
mount -t proc proc {root}/proc
mount --bind /dev {root}/dev
exec chroot --userspec=1000:1000 {root} env -i HOME={HOME} LANG=C.UTF-8 PATH=/usr/bin:/bin bash {HOME}/device.sh
"""
    job = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", inside],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print("".join(f"  | {line}\n" for line in job.stdout.splitlines()), end="", flush=True)
    if job.returncode != 0:
        return {
            "verdict": f"status {job.returncode}",
            "pictures": 0,
            "tensors": 0,
            "identical": 0,
            "largest": 1.0,
            "labels": 0,
        }
    report = examine(row, device, model, sorted((work / "inputs" / "pictures").iterdir()))
    shutil.rmtree(overlay)
    return report


def examine(row: Row, device: Path, model: Path, pictures: Sequence[Path]) -> dict:
    """Compare what the device wrote with what this machine gives in the same runtime."""
    there = json.loads((device / "scores.json").read_text())
    # A process of its own: two runtimes do not share one well.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        here = pool.submit(measure, model, pictures, row.runtime).result()
    found, wanted = np.asarray(there["scores"], np.float32), np.asarray(here["scores"], np.float32)
    gap = np.abs(found - wanted).max(axis=1)
    lines = [json.loads(line) for line in (device / "classify.jsonl").read_text().splitlines()]
    video = [json.loads(line) for line in (device / "run.jsonl").read_text().splitlines()]
    labels = json.loads((device / "info.json").read_text())["labels"]
    faults = [
        text
        for text, bad in (
            ("selftest", bool(json.loads((device / "selftest.json").read_text())["failures"])),
            ("runtime", there["runtime"] != row.runtime),
            ("bits", there["bits"] != (32 if row.architecture == "armhf" else 64)),
            ("classify", [line["label"] for line in lines] != [labels[i] for i in found.argmax(axis=1)]),
            ("run", [line["frame"] for line in video] != list(range(FRAMES))),
            ("tensors", there["tensors"] != here["tensors"]),
            ("scores", float(gap.max()) > LARGEST),
        )
        if bad
    ]
    return {
        "verdict": "ok" if not faults else f"wrong: {', '.join(faults)}",
        "python": there["python"],
        "machine": there["machine"],
        "pictures": len(pictures),
        "tensors": sum(a == b for a, b in zip(there["tensors"], here["tensors"], strict=True)),
        "identical": int((gap == 0).sum()),
        "largest": float(gap.max()),
        "labels": int((found.argmax(axis=1) == wanted.argmax(axis=1)).sum()),
    }


LARGEST = 0.05  # difference of a score between the same runtime on Arm and on x86


if __name__ == "__main__":
    run_command(main)
