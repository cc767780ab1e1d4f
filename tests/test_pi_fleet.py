"""The fleet's playbooks against two real sshd: install, no change, a roll-out that stops, rollback.

Takes minutes (two installations), so it runs with FROSTLITE_SLOW=1 and ansible-playbook on the PATH.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pi.ssh import Server, sshd
from tests.test_pi_deploy import bundles  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("FROSTLITE_SLOW") != "1", reason="takes minutes: set FROSTLITE_SLOW=1"),
    pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="expected ansible-playbook, found none"),
]


@pytest.fixture(scope="module")
def pis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    folder = tmp_path_factory.mktemp("fleet")
    with sshd(folder / "pi1", "pi1") as one, sshd(folder / "pi2", "pi2") as two:
        (folder / "fleet.ini").write_text(
            "".join(
                f"{pi.name} ansible_ssh_common_args='-F {pi.config}' ansible_python_interpreter={sys.executable}\n"
                for pi in (one, two)
            )
        )
        yield [one, two]


def play(pis: list[Server], book: str, *more: str) -> tuple[int, dict[str, dict[str, int]], str]:
    """Status, the recap by host, and all that was said."""
    inventory = pis[0].home.parent.parent / "fleet.ini"
    job = subprocess.run(
        ["ansible-playbook", "-i", inventory, ROOT / "edge/pi/fleet" / book, *more],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(inventory.parent / "ansible")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    recap = {
        host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
        for host, line in re.findall(r"^(pi\d)\s+: (ok=.*)$", job.stdout, re.MULTILINE)
    }
    return job.returncode, recap, job.stdout + job.stderr


def versions(pis: list[Server]) -> list[str]:
    return [(pi.home / "current").readlink().name for pi in pis]


def test_install_update_in_waves_and_roll_back(pis: list[Server], bundles: dict[str, Path]):  # noqa: F811
    status, recap, text = play(pis, "install.yml", "-e", f"bundle={bundles['good']}")
    assert status == 0, text
    assert [host["changed"] for host in recap.values()] == [1, 1]
    good = versions(pis)
    assert good[0] == good[1]

    status, recap, text = play(pis, "install.yml", "-e", f"bundle={bundles['good']}")
    assert status == 0, text
    assert [host["changed"] for host in recap.values()] == [0, 0]

    status, recap, text = play(pis, "install.yml", "-e", f"bundle={bundles['spoiled']}")
    assert status != 0
    assert "rolled back" in text
    assert list(recap) == ["pi1"], "the first wave failed, so the second never began"
    assert versions(pis) == good

    status, _, text = play(pis, "install.yml", "-e", f"bundle={bundles['update']}")
    assert status == 0, text
    assert versions(pis) != good

    status, _, text = play(pis, "rollback.yml")
    assert status == 0, text
    assert versions(pis) == good
