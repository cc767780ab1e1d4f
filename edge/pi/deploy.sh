#!/usr/bin/env bash
# Brings a bundle to a Pi and installs it there, over plain ssh with your own ssh configuration.
#
#   edge/pi/deploy.sh user@host dist/frostlite-best.tar.gz
#
# The same command installs and updates; a bundle that is installed already is checked, not copied again. The name of
# the file may be any: over there it plays no part.
set -euo pipefail

pi=${1:?expected user@host}
archive=${2:?expected a bundle}
case $pi in -*) echo "error: PI: expected user@host, found $pi" >&2; exit 2 ;; esac
[ -f "$archive" ] || { echo "error: $archive: expected a bundle, found nothing" >&2; exit 2; }
folder=$(tar tzf - <"$archive" | sed -n '1s,/.*,,p') || folder=
version=$(tar xzOf - -- "$folder/VERSION" <"$archive" 2>/dev/null) || {
  echo "error: $archive: expected a bundle, found a file without VERSION" >&2
  exit 2
}
terminal=()
[ -t 0 ] && terminal=(-t) # so that sudo may ask for a password there

echo "$pi: looking"
# shellcheck disable=SC2016 # $HOME is the one over there
installed=$(ssh -- "$pi" 'cat "${FROSTLITE_HOME:-$HOME/frostlite}/current/VERSION" 2>/dev/null || true') || {
  echo "error: $pi: no ssh connection; try: ssh $pi" >&2
  exit 2
}
if [ "$installed" = "$version" ]; then
  # shellcheck disable=SC2016
  exec ssh "${terminal[@]}" -- "$pi" '"${FROSTLITE_HOME:-$HOME/frostlite}/current/install.sh"'
fi
echo "$pi: copying $version (there: ${installed:-nothing})"
upload=$(ssh -- "$pi" mktemp -d /var/tmp/frostlite-XXXXXX)
ok=yes # it becomes part of commands, one of which deletes
case ${upload#/var/tmp/frostlite-} in *[!a-zA-Z0-9]* | "") ok=no ;; esac
[ $ok = yes ] || { echo "error: $pi: expected a folder for the upload, found other output of its shell: $upload" >&2; exit 2; }
trap 'ssh -- "$pi" rm -rf "$upload"' EXIT
ssh -- "$pi" tar xzf - -C "$upload" --strip-components=1 <"$archive"
# shellcheck disable=SC2029 # known here, not there
ssh "${terminal[@]}" -- "$pi" "$upload/install.sh"
