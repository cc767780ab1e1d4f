"""What machine this is, how warm it is, and whether it slows itself down."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

# Bits of `vcgencmd get_throttled` (raspberrypi.com/documentation, "vcgencmd"); those 16 places higher say "since boot".
_THROTTLING = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


def temperature(root: Path = Path("/")) -> float | None:
    """Degrees Celsius of the processor, if the machine tells."""
    try:
        return int((root / "sys/class/thermal/thermal_zone0/temp").read_text()) / 1000
    except (OSError, ValueError):
        return None


def throttling() -> list[str] | None:
    """What slows a Raspberry Pi down now, or has since it was started; None on other machines."""
    if shutil.which("vcgencmd") is None:
        return None
    try:
        answer = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5).stdout
        return parse_throttling(answer)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def parse_throttling(answer: str) -> list[str]:
    """Names for the bits of an answer such as "throttled=0x50005".

    Raises:
        ValueError: for an answer of another form.
    """
    bits = int(answer.strip().removeprefix("throttled="), 16)
    now = [name for bit, name in _THROTTLING.items() if bits >> bit & 1]
    past = [f"{name} since boot" for bit, name in _THROTTLING.items() if bits >> bit + 16 & 1 and not bits >> bit & 1]
    return now + past


def describe(root: Path = Path("/")) -> dict[str, object]:
    """Board, processor, cores, memory and operating system, as far as the machine tells."""
    return {
        "board": _board(root),
        "processor": _processor(root),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mb": _memory(root),
        "machine": platform.machine(),
        "os": _os(),
        "kernel": platform.release(),
    }


def _board(root: Path) -> str:
    for name in ("proc/device-tree/model", "sys/class/dmi/id/product_name"):
        try:
            return (root / name).read_text().strip("\0\n ")
        except OSError:
            continue
    return "unknown"


def _processor(root: Path) -> str:
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name")), "unknown")


def _memory(root: Path) -> int | None:
    try:
        return int((root / "proc/meminfo").read_text().split()[1]) // 1024
    except (OSError, ValueError, IndexError):
        return None


def _os() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
