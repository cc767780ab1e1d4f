"""A real sshd on 127.0.0.1 for tests: its own configuration, port and keys; nothing of the user's is touched."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class Server:
    """A running sshd, seen as a Pi.

    Attributes:
        name: of the host in the client's configuration.
        home: FROSTLITE_HOME of whoever logs in there.
        config: the client's configuration file.
        environment: for commands whose `ssh` and `scp` are to use that configuration.
    """

    name: str
    home: Path
    config: Path
    environment: dict[str, str]


@contextmanager
def sshd(folder: Path, name: str) -> Iterator[Server]:
    """Start sshd for the present user; skips the test where there is none."""
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("expected sshd, found none; try: sudo apt install -y openssh-server")
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = folder / "frostlite"
    python = Path(sys.base_prefix) / "bin"
    (folder / "sshd_config").write_text(
        f"""
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
SetEnv FROSTLITE_HOME={home} PATH={python}:/usr/bin:/bin
Subsystem sftp internal-sftp
"""
    )
    config = folder / "config"
    config.write_text(
        f"""
Host {name}
  HostName 127.0.0.1
  Port {port}
  User {os.environ.get("USER") or subprocess.check_output(["id", "-un"], text=True).strip()}
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking accept-new
"""
    )
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for tool in ("ssh", "scp"):
        shim = bin_folder / tool
        shim.write_text(f'#!/bin/sh\nexec {shutil.which(tool)} -F {config} "$@"\n')
        shim.chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own wish when root starts it
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
        try:
            environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
            for _ in range(50):
                if subprocess.run(["ssh", name, "true"], env=environment, capture_output=True).returncode == 0:
                    break
                time.sleep(0.2)
            else:
                pytest.fail((folder / "log").read_text())
            yield Server(name, home, config, environment)
        finally:
            server.terminate()
            server.wait(10)
