"""The bundle on Arm, for real: its own install.sh, wheels and programs in emulated Raspberry Pi userlands.

    make test-pi                      every row, with the model of the sample
    python tests/pi/arm.py --model best.tflite --pictures photos/validation bookworm-arm64-litert

Needs root, debootstrap and qemu-user-static with binfmt. A row is a Debian userland (built once, kept in the cache)
under an overlay that is thrown away, without any network: the wheels come out of the bundle. The features
of an int8 model there must be, bit for bit, those of the same runtime here; its scores, by a float head, nearly so.
Emulated speed is not speed: none is reported.

The emulated machine gets the core of a Pi and a Pi's own description of it: without one, XNNPACK finds no processor
that it knows, and LiteRT takes other kernels than on a Pi, without a word.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from convert.bundle import bundle, choose_pictures, measure_for_device  # noqa: E402
from edge.cli import run_command  # noqa: E402
from edge.errors import UserError  # noqa: E402
from edge.files import whole  # noqa: E402
from edge.model.contract import read_model  # noqa: E402
from edge.pictures import read_picture  # noqa: E402
from edge.selftest import measure  # noqa: E402
from train.cache import cache_folder, locked  # noqa: E402


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
# The cores of a Pi 4 and of a Pi 2, and what /proc/cpuinfo says of each there.
CORES = {
    "arm64": ("cortex-a72", "fp asimd evtstrm crc32 cpuid", "0xd08"),
    "armhf": ("cortex-a7", "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae", "0xc07"),
}
BINFMT = Path("/proc/sys/fs/binfmt_misc")
INSTALL = "try: sudo apt install -y debootstrap qemu-user-static binfmt-support"
HOME = "/home/pi"
FRAMES = 5  # of the video
ROUNDED = 1e-3  # largest difference of a score between Arm and x86: the head of every model is in float

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
./frostlite/frostlite run --source clip.avi --json > run.jsonl 2> run.log || {{ cat run.log; exit 1; }}
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
    parser.add_argument("--prepare", action="store_true", help="only see whether this machine can, and build userlands")
    parser.add_argument("--pictures", type=Path, help="default: of the run that the model lies in")
    parser.add_argument("--out", type=Path, default=Path("dist/test-pi.json"), help="default: dist/test-pi.json")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        raise UserError(f"expected rows out of {', '.join(ROWS)}, found {', '.join(unknown)}")
    if reason := missing():
        raise UserError(reason)
    rows = [ROWS[name] for name in options.rows] or list(ROWS.values())
    if options.prepare:
        for row in rows:
            userland(row)
        return 0
    if options.model is None:
        raise UserError("--model: expected a .tflite file, found nothing")
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
    print(f"\n{'of these pictures, bit for bit as here:':<41} input  scores  (by x86 kernels)")
    for report in reports:
        if "pictures" in report:
            equal = "".join(f"{report[key]:>4}/{report['pictures']}" for key in ("tensors", "identical", "usual"))
            print(f"{report['row']:<38} {equal}, at most {report['largest']:.4f} off  {report['verdict']}")
        else:
            print(f"{report['row']:<38} {report['verdict']}")
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


def mirror() -> str:
    """Where Debian's packages come from: $DEBIAN_MIRROR, else what this machine uses if it is a Debian."""
    if named := os.environ.get("DEBIAN_MIRROR"):
        return named
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
    found = subprocess.run(command, capture_output=True, text=True).stdout.split()
    return next((address for address in found if address.startswith("http")), "http://deb.debian.org/debian")


def describe(architecture: str, folder: Path) -> None:
    """Write what such a Pi says of its processor: `cpuinfo` of /proc, and `cpu/` of /sys/devices/system."""
    _, features, part = CORES[architecture]
    version = 8 if architecture == "arm64" else 7
    lines = f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: {version}\n"
    lines += f"CPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n\n"
    (folder / "cpu").mkdir(parents=True)
    (folder / "cpuinfo").write_text("".join(f"processor\t: {core}\n{lines}" for core in range(4)))
    for name in ("possible", "present"):
        (folder / "cpu" / name).write_text("0-3\n")


def userland(row: Row) -> Path:
    """The folder of a row's userland; made by debootstrap at the first time."""
    folder = cache_folder() / "pi" / row.userland
    done = folder.with_name(f"{folder.name}.ok")
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not done.exists():
            print(f"  building {folder} (once; takes minutes)", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            command = ["unshare", "--mount", "debootstrap", f"--arch={row.architecture}", "--variant=minbase"]
            command += [f"--include={','.join((*BASE, *row.packages))}", row.suite, str(folder), mirror()]
            log = folder.with_name(f"{folder.name}.log")
            with log.open("w") as output:
                if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode != 0:
                    reason = (log.read_text().strip().splitlines() or ["no message"])[-1]
                    raise UserError(f"debootstrap from {mirror()} failed: {reason}; see {log}")
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
    describe(row.architecture, overlay / "board")
    layers = f"lowerdir={folder},upperdir={upper},workdir={overlay / 'work'}"
    inside = f"""set -e
mount -t overlay overlay -o {layers} {root}
mount -t proc proc {root}/proc
mount --bind {overlay}/board/cpuinfo {root}/proc/cpuinfo
mount -t tmpfs none {root}/sys
mkdir -p {root}/sys/devices/system
cp -r {overlay}/board/cpu {root}/sys/devices/system
mount --bind /dev {root}/dev
exec chroot --userspec=1000:1000 {root} env -i HOME={HOME} LANG=C.UTF-8 PATH=/usr/bin:/bin \\
  QEMU_CPU={CORES[row.architecture][0]} bash {HOME}/device.sh
"""
    job = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", inside],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print("".join(f"  | {line}\n" for line in job.stdout.splitlines()), end="", flush=True)
    if job.returncode != 0:
        return {"verdict": f"wrong: status {job.returncode}"}
    report = examine(row, device, model, sorted((work / "inputs" / "pictures").iterdir()))
    shutil.rmtree(overlay)
    return report


def examine(row: Row, device: Path, model: Path, pictures: Sequence[Path]) -> dict:
    """Compare what the device wrote with what this machine gives in the same runtime."""
    there = json.loads((device / "scores.json").read_text())
    here, usual = (in_a_process(function, model, pictures, row.runtime) for function in (measure_for_device, measure))
    found = np.asarray(there["scores"], np.float32)
    gap, gap_to_usual = (np.abs(found - np.asarray(of["scores"], np.float32)).max(axis=1) for of in (here, usual))
    spec = read_model(model).spec
    assert spec
    lines = [json.loads(line) for line in (device / "classify.jsonl").read_text().splitlines()]
    video = [json.loads(line) for line in (device / "run.jsonl").read_text().splitlines()]
    labels = json.loads((device / "info.json").read_text())["labels"]
    faults = [
        text
        for text, bad in (
            ("selftest", bool(json.loads((device / "selftest.json").read_text())["failures"])),
            ("runtime", there["runtime"] != row.runtime),
            ("bits", there["bits"] != (32 if row.architecture == "armhf" else 64)),
            ("classify", [line["top"][0][0] for line in lines] != [labels[i] for i in found.argmax(axis=1)]),
            ("run", [line["frame"] for line in video] != list(range(FRAMES))),
            ("tensors", there["tensors"] != here["tensors"]),
            ("features", spec.scheme == "int8" and there["features"] != here["features"]),
            ("scores", float(gap.max()) > ROUNDED),
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
        "usual": int((gap_to_usual == 0).sum()),
        "largest": float(gap_to_usual.max()),
    }


def in_a_process(function: Callable[..., dict], *arguments: object) -> dict:
    """What the function gives in a process of its own: two runtimes do not share one well."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    run_command(main)
