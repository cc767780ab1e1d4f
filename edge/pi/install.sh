#!/usr/bin/env bash
# Installs this bundle for the user who runs it, checks it, and makes it a service. See README.md beside it.
#
#   install.sh              install or update
#   install.sh rollback     back to the previous version
#   install.sh uninstall    remove everything
#
# Layout of $FROSTLITE_HOME (default ~/frostlite):
#   versions/NAME/          unpacked bundles; `current` and `previous` are links to two of them
#   venvs/NAME/             one virtual environment for each set of packages
#   frostlite               the program; frostlite.conf: what the service does
set -euo pipefail
umask 022 # the user that the service runs as must be able to read it

bundle=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
home=${FROSTLITE_HOME:-$HOME/frostlite}
case $bundle in */versions/*) home=${FROSTLITE_HOME:-${bundle%/versions/*}} ;; esac
unit=/etc/systemd/system/frostlite.service
systemd=/run/systemd/system # there if systemd runs this machine

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }
row() { printf '  %-10s %s\n' "$1" "$2"; }
version_of() { basename "$(readlink "$home/$1" 2>/dev/null || true)"; }

# as_root WHY COMMAND…: the only places where this script needs more than a user may.
as_root() {
  local why=$1
  shift
  if [ "$(id -u)" = 0 ]; then "$@"; else
    say "sudo, to $why: $*"
    sudo "$@"
  fi
}

# on_disk: what was written is there after a power cut too. A name that says "complete" must not come before it.
on_disk() { sync -f "$home"; }

# point LINK VERSION: in one step, so that there is no moment without a version.
point() { on_disk && ln -sfn "versions/$2" "$home/.$1" && mv -fT "$home/.$1" "$home/$1"; }

# others_service: the folder of another installation that has the service, if there is one.
others_service() {
  local program
  program=$(sed -n 's/^ExecStart=\(.*\)\/frostlite run$/\1/p' $unit 2>/dev/null) || return 0
  [ "$program" = "$home" ] || printf '%s' "$program"
}

check() {
  local other
  other=$(others_service)
  [ -z "$other" ] || fail "the service belongs to the installation in $other: FROSTLITE_HOME=$other updates that one; or remove it first: $other/current/install.sh uninstall"
  say "this machine:"
  # shellcheck source=/dev/null
  row OS "$(. /etc/os-release 2>/dev/null; echo "${PRETTY_NAME:-$(uname -sr)}")"
  local architecture
  architecture=$(dpkg --print-architecture 2>/dev/null || uname -m)
  case $architecture in # a 32-bit system may run on a 64-bit kernel, so `uname` alone does not tell
    arm64 | aarch64) machine=aarch64 ;;
    armhf | armv7l) machine=armv7l ;;
    amd64 | x86_64) machine=x86_64 ;;
    *) fail "expected arm64, armhf or amd64, found $architecture: no runtime is built for it" ;;
  esac
  row machine "$machine"
  command -v python3 >/dev/null || fail "expected Python 3, found none; try: sudo apt install -y python3-venv"
  python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  row python "$python"
  python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "expected Python's venv module, found none; try: sudo apt install -y python3-venv"
  runtime=${RUNTIME:-$([ "$machine" = armv7l ] && echo tflite-runtime || echo ai-edge-litert)}
  requirements=requirements/$runtime-py$python-$machine.txt
  [ -f "$bundle/$requirements" ] ||
    fail "$runtime, Python $python on $machine: expected one of $(cd "$bundle/requirements" && echo *"-$machine.txt"); Raspberry Pi OS of Debian 12 or 13 has one"
  row runtime "$runtime"
  grep -q opencv "$bundle/$requirements" || python3 -c 'import cv2, numpy' 2>/dev/null ||
    fail "expected OpenCV and NumPy of the system, for there are no 32-bit wheels; try: sudo apt install -y python3-opencv python3-numpy"
  local free
  free=$(df -Pm "$home" | awk 'NR == 2 {print $4}')
  row "free disk" "$free MB"
  [ "$free" -ge 500 ] || [ -d "$home/current" ] || fail "$home: expected 500 MB of free disk, found $free"
  # Without the memory controller the limit of the service is none: Raspberry Pi OS switches it off.
  if [ -d $systemd ] && [ -r /sys/fs/cgroup/cgroup.controllers ] && ! grep -qw memory /sys/fs/cgroup/cgroup.controllers; then
    row memory "the service has no limit (cgroup_disable=memory); for one: cgroup_enable=memory in /boot/firmware/cmdline.txt"
  fi
  local cameras
  cameras=$(compgen -G '/dev/video[0-9]' | tr '\n' ' ' || true)
  row camera "${cameras:-none found: see rpicam-hello --list-cameras (CSI), or plug in a USB camera}"
  if python3 -c 'import picamera2' 2>/dev/null; then row picamera2 yes; else
    row picamera2 "no; for a CSI camera: sudo apt install -y python3-picamera2 --no-install-recommends"
  fi
}

install_version() { # unpacks this bundle to versions/$version unless it is there
  version=$(cat "$bundle/VERSION")
  [ "$bundle" = "$home/versions/$version" ] && return
  [ -f "$home/versions/$version/VERSION" ] && return
  mkdir -p "$home/versions"
  rm -rf "$home/versions/.new"
  mkdir "$home/versions/.new"
  (cd "$bundle" && tar cf - --exclude=./wheels --exclude=__pycache__ .) | tar xf - -C "$home/versions/.new"
  on_disk
  mv "$home/versions/.new" "$home/versions/$version"
}

install_packages() { # makes venvs/$venv unless it is complete
  venv=$runtime-py$python-$(sha256sum <"$bundle/$requirements" | cut -c1-12)
  local path=$home/venvs/$venv
  if [ ! -f "$path/complete" ]; then
    say "installing packages into $path"
    rm -rf "$path"
    # picamera2 exists only as a package of the system, next to its libcamera
    python3 -m venv --system-site-packages "$path" || fail "$path: Python could not make it; is the disk full? df -h $home"
    local from=()
    [ -d "$bundle/wheels" ] && from=(--no-index --find-links "$bundle/wheels")
    "$path/bin/python" -m pip install -q --disable-pip-version-check --no-deps --ignore-installed "${from[@]}" -r "$bundle/$requirements" ||
      fail "pip could not install $requirements; without a network: make bundle WHEELS=1"
    on_disk
    touch "$path/complete"
  fi
  local link=$home/versions/$version/venv
  [ "$(readlink "$link")" = "../../venvs/$venv" ] || ln -sfn "../../venvs/$venv" "$link"
}

selftest() { (cd "$home/versions/$1" && venv/bin/python -B -m edge selftest .); }

write_program() {
  cat >"$home/.program" <<PROGRAM
#!/bin/sh
# frostlite COMMAND …: \`python -m edge\` of the current version; commands that take a model get the installed one.
here=\$(dirname "\$(readlink -f "\$0")")
command=\${1:---help}
[ \$# -gt 0 ] && shift
case \$command in
  selftest) set -- "\$here/current" "\$@" ;;
  collect | -*) ;;
  *) set -- "\$here/current/model.tflite" "\$@" ;;
esac
PYTHONPATH=\$here/current exec "\$here/current/venv/bin/python" -m edge "\$command" "\$@"
PROGRAM
  chmod 755 "$home/.program"
  if cmp -s "$home/.program" "$home/frostlite"; then rm "$home/.program"; else mv "$home/.program" "$home/frostlite"; fi
  # It may come to hold tokens and passwords; systemd reads it as root.
  [ -f "$home/frostlite.conf" ] || install -m 600 "$bundle/frostlite.conf" "$home/frostlite.conf"
}

# Makes the running service the current version. Fails if a service that ran before does not run any more.
start_service() {
  if [ ! -d $systemd ]; then
    say "no systemd runs here, so there is no service; by hand: $home/frostlite run --source 0"
    return
  fi
  local ran=no
  systemctl -q is-active frostlite && ran=yes
  sed "s|@HOME@|$home|g" "$home/current/frostlite.service" >"$home/.unit"
  if ! cmp -s "$home/.unit" $unit; then
    # shellcheck disable=SC2015
    as_root "install the service" cp "$home/.unit" $unit &&
      as_root "let systemd read it" systemctl daemon-reload &&
      as_root "start it with the machine" systemctl -q enable frostlite ||
      fail "$(version_of current) is installed, but not as a service: that needs root; then run this again"
  elif [ "$ran" = yes ] && [ "${1:-}" != restart ]; then
    rm -f "$home/.unit"
    return
  fi
  rm -f "$home/.unit"
  if as_root "start the service" systemctl restart frostlite; then
    say "the service runs: journalctl -u frostlite -f"
  elif [ "$ran" = yes ]; then
    return 1
  else
    say "the service does not start: journalctl -u frostlite -n 20; its options are in $home/frostlite.conf"
  fi
}

prune() { # versions and environments that neither link uses
  local path name
  for path in "$home"/versions/*/; do
    name=$(basename "$path")
    [ "$name" = "$(version_of current)" ] || [ "$name" = "$(version_of previous)" ] || rm -rf "$path"
  done
  for path in "$home"/venvs/*/; do
    name=$(basename "$path")
    readlink "$home"/versions/*/venv | grep -qx "../../venvs/$name" || rm -rf "$path"
  done
}

install_or_update() {
  check
  local version venv old before
  old=$(version_of current)
  before=$(version_of previous)
  install_version
  install_packages
  if ! selftest "$version"; then
    [ "$version" = "$old" ] || rm -rf "$home/versions/$version"
    [ -n "$old" ] || fail "$version does not pass its self-test here; nothing was installed"
    fail "$version does not pass its self-test here; rolled back: $old stays in use"
  fi
  write_program
  if [ "$version" = "$old" ]; then
    start_service
    say "unchanged: $version was installed already"
    return
  fi
  point current "$version"
  [ -z "$old" ] || point previous "$old"
  if ! start_service restart; then
    point current "$old"
    if [ -n "$before" ]; then point previous "$before"; else rm -f "$home/previous"; fi
    start_service restart || true
    prune
    fail "$version does not run as a service (journalctl -u frostlite -n 50); rolled back: $old is in use again"
  fi
  prune
  say "installed: $version${old:+, previous: $old}"
}

rollback() {
  local old new
  old=$(version_of current)
  new=$(version_of previous)
  [ -n "$new" ] || fail "$home: expected a previous version, found none"
  selftest "$new" || fail "$new does not pass its self-test either; $old stays in use"
  point current "$new"
  point previous "$old"
  start_service restart || say "the service does not run: journalctl -u frostlite -n 50"
  say "rolled back: $new is in use, $old is the previous one"
}

uninstall() {
  [ -e "$home/versions" ] || fail "$home: expected an installation, found none"
  if [ -d $systemd ] && [ -f $unit ] && [ -z "$(others_service)" ]; then
    as_root "stop the service" systemctl -q disable --now frostlite
    as_root "remove it" rm -f $unit
    as_root "let systemd forget it" systemctl daemon-reload
  fi
  rm -rf "$home/versions" "$home/venvs" "$home/current" "$home/previous" "$home/frostlite"
  say "removed; your settings stay: $home/frostlite.conf"
}

case ${1:-install} in
  install | rollback | uninstall)
    mkdir -p "$home" 2>/dev/null || fail "$home: expected a folder that can be written, see FROSTLITE_HOME"
    exec 9>"$home/.lock"
    flock -n 9 || fail "$home: another install.sh is at work there"
    case ${1:-install} in install) install_or_update ;; *) "$1" ;; esac
    ;;
  *) fail "expected nothing, rollback or uninstall, found $1" ;;
esac
