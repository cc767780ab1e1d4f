"""The service under a systemd that was booted for it: a camera that goes and returns, a hang, an update that fails.

    sudo .venv/bin/python -m tests.pi.booted

Needs root and systemd-nspawn (apt install systemd-container), and the packages of the bundle from the network. The
machine is this one's own file system, read-only below a layer that is thrown away; its network is this one's too. The
camera is a stream of this process. Prints a line for each thing that was seen; ends with 1 at the first that was not.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from device import flat, free_port, make_tiny_model

HOME = "/opt/frostlite"
AWAY = 45  # seconds: longer than WatchdogSec


def why_not() -> str:
    """What is missing for this here, or ""."""
    if sys.platform != "linux" or os.geteuid():
        return "root on Linux"
    missing = [name for name in ("systemd-nspawn", "nsenter", "mount") if not shutil.which(name)]
    return f"{missing[0]} (apt install systemd-container)" if missing else ""


class Machine:
    """A booted system; `run` runs a command in it."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root, self.leader = root, leader

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        spaces = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p"]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {"PATH": path, "HOME": "/root", "FROSTLITE_HOME": HOME}
        kept = {name: value for name, value in os.environ.items() if name.upper().endswith("_PROXY") or "PIP_" in name}
        return subprocess.run(
            [*spaces, "sh", "-c", command], env=kept | environment, capture_output=True, text=True, timeout=400
        )

    def show(self, name: str) -> str:
        return self.run(f"systemctl show -P {name} frostlite").stdout.strip()


@contextmanager
def booted() -> Iterator[Machine]:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        layer, root = place / "layer", place / "root"
        for folder in (layer, root):
            folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", layer], check=True)
        stack.callback(subprocess.run, ["umount", "-l", layer])
        (layer / "up").mkdir()
        (layer / "work").mkdir()
        options = f"lowerdir=/,upperdir={layer}/up,workdir={layer}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
        stack.callback(subprocess.run, ["umount", "-l", root])
        command = ["systemd-nspawn", "-q", "-D", root, "--boot", "--register=no", "--keep-unit", "--machine=pi"]
        console = stack.enter_context((place / "console").open("w"))
        job = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)
        stack.callback(job.wait, 60)
        stack.callback(job.terminate)
        wait(lambda: Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split(), 20)
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        machine = Machine(root, int(children[0]))
        wait(lambda: machine.run("systemctl is-system-running").stdout.strip() in ("running", "degraded"), 90)
        yield machine


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        picture = cv2.imencode(".jpg", flat(220, 20, (120, 160)))[1].tobytes()
        while not getattr(self.server, "gone", False):
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture))
            self.wfile.write(picture + b"\r\n")
            time.sleep(0.1)

    def log_message(self, *_: object) -> None:
        pass


class Camera(ThreadingHTTPServer):
    daemon_threads, gone = True, False

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def camera(port: int) -> Iterator[None]:
    server = Camera(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    yield
    server.gone = True
    server.shutdown()
    server.server_close()


def wait(condition: Callable[[], object], seconds: float) -> float:
    """Until it holds; how long that took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not seen within {seconds:.0f} s")
        time.sleep(0.2)
    return time.monotonic() - started


def see(what: str, holds: object = True) -> None:
    assert holds, what
    print(f"seen: {what}", flush=True)


def unpack(archive: Path, machine: Machine, name: str) -> Path:
    """The bundle, unpacked in the machine under a name."""
    place = machine.root / "opt" / name
    with tarfile.open(archive) as files:
        files.extractall(place, filter="data")
    (folder,) = place.iterdir()
    return folder


def check() -> None:
    from convert.bundle import bundle

    eye, page = free_port(), free_port()

    def value(name: str) -> float:
        try:
            text = urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics", timeout=3).read().decode()
            found = re.search(rf"^frostlite_{name} (\S+)", text, re.MULTILINE)
        except OSError:
            return -1
        return float(found[1]) if found else -1

    with tempfile.TemporaryDirectory() as folder, booted() as machine:
        out = Path(folder)
        make_tiny_model(out / "tiny.tflite")
        pictures = []
        for name, colour in (("red", (220, 20)), ("blue", (20, 220))):
            pictures.append(out / f"{name}.png")
            cv2.imwrite(str(pictures[-1]), flat(*colour))
        first = unpack(bundle(out / "tiny.tflite", pictures, out), machine, "first")
        home = machine.root / HOME[1:]
        home.mkdir()
        (home / "frostlite.conf").write_text(
            f'FROSTLITE_OPTIONS="--source http://127.0.0.1:{eye}/x --preview {page} --smooth none"\n'
        )
        inside = "/" + str(first.relative_to(machine.root))
        job = machine.run(f"{inside}/install.sh")
        see("installed as a service, without a camera", job.returncode == 0 and "the service runs" in job.stdout)
        see("it waits, and /metrics says so", machine.show("ActiveState") == "active" and value("signal") == 0)
        process = machine.show("MainPID")
        with camera(eye):
            see(f"frames {wait(lambda: value('signal') == 1, 5):.1f} s after the camera came")
        time.sleep(AWAY)
        see(f"{AWAY} s without a camera: the same process", machine.show("MainPID") == process)
        see(f"no signal for {value('last_frame_age_seconds'):.0f} s", value("last_frame_age_seconds") > AWAY - 8)
        see("systemctl status says so", "no signal" in machine.show("StatusText"))
        frames = value("frames_total")
        with camera(eye):
            see(f"frames {wait(lambda: value('frames_total') > frames, 5):.1f} s after it came back")
            journal = machine.run("journalctl -u frostlite --no-pager -o cat").stdout
            see("the journal has it once", journal.count("lost; opening it again") == 1)
            see("never started anew", machine.show("NRestarts") == "0")

            machine.run(f"kill -STOP {process}")
            took = wait(lambda: machine.show("MainPID") not in (process, "0"), 150)
            see(f"a hang: started anew after {took:.0f} s")
            wait(lambda: value("frames_total") > 0, 30)
            see("and classifies")

            version = (home / "current").readlink().name
            spoiled = machine.root / "opt" / "spoiled"
            shutil.copytree(first, spoiled)
            (spoiled / "VERSION").write_text("tiny-spoiled\n")
            live = spoiled / "edge" / "live.py"
            live.write_text(live.read_text().replace("for frame in source:", "for frame in source.nothing:"))
            job = machine.run("/opt/spoiled/install.sh")
            told = f"rolled back: {version} is in use" in job.stderr
            see("an update that fails is told", job.returncode == 2 and told)
            see("the version before is in use", (home / "current").readlink().name == version)
            wait(lambda: value("frames_total") > 0, 30)
            see("and classifies")

            job = machine.run(f"FROSTLITE_HOME=/opt/other {inside}/install.sh")
            see("a second installation leaves the service alone", job.returncode == 2 and HOME in job.stderr)
            job = machine.run(f"FROSTLITE_HOME={HOME} {HOME}/current/install.sh uninstall")
            see("removed", job.returncode == 0 and machine.show("LoadState") == "not-found")


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(f"expected {reason}")
    try:
        check()
    except AssertionError as error:
        sys.exit(f"not seen: {error}")
