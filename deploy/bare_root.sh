#!/usr/bin/env bash
# Run commands in a clone of this project on a bare Debian 12, as a user without rights.
#
#   deploy/bare_root.sh FOLDER [COMMAND ...]
#
# The proof that the project sets itself up: FOLDER/root is made by debootstrap and holds Debian's
# smallest system with Python 3.11, pip, git and make and no other library; the user `newcomer`
# gets a clone of the commit that is checked out here, and each COMMAND runs in it. Without any:
# `make test` and `make demo`. A root that is there already is used again, with a new clone, so that
# FOLDER must be removed for a proof from nothing. It takes 12 GB.
#
# Needs root and debootstrap (apt-get install debootstrap). From the environment:
#
#   MIRROR   Debian mirror; without it that of debootstrap
#   SHARED   files and folders of this machine, separated by spaces, that are seen read-only at the
#            same place: certificates, a folder of wheels, pip's configuration
#   PIP_*    go on to pip as they are
#   KEEP     if set, the clone that is there is used again, with its environment
set -euo pipefail

folder=$(realpath -m "${1:?folder of the bare root. Usage: deploy/bare_root.sh FOLDER [COMMAND ...]}")
shift
[ $# -gt 0 ] || set -- "make test" "make demo"
source=$(realpath "$(dirname "$0")/..")
root=$folder/root
packages=python3,python3-pip,git,make,ca-certificates

[ "$(id -u)" = 0 ] || { echo "error: debootstrap and chroot want root, got user $(id -un)" >&2; exit 1; }
command -v debootstrap > /dev/null || {
  echo "error: no debootstrap on PATH. Run: apt-get install debootstrap" >&2; exit 1; }

mkdir -p "$folder"
if [ ! -x "$root/usr/bin/make" ]; then
  debootstrap --variant=minbase --include="$packages" bookworm "$root" ${MIRROR:+"$MIRROR"} \
    > "$folder/debootstrap.log" || { tail "$folder/debootstrap.log" >&2; exit 1; }
fi
chroot "$root" id newcomer > /dev/null 2>&1 ||
  chroot "$root" useradd --create-home --shell /bin/bash newcomer
cp /etc/resolv.conf /etc/hosts "$root/etc/"

clone=$root/home/newcomer/scenestyle
if [ -z "${KEEP:-}" ] || [ ! -d "$clone" ]; then
  rm -rf "$clone"
  git clone --quiet --no-hardlinks "$source" "$clone"
fi
chroot "$root" chown -R newcomer: /home/newcomer

# Mounts and processes of its own: both end with the last command, however that ends.
export root SHARED="${SHARED:-}"
unshare --mount --pid --fork --kill-child bash -euo pipefail -c '
  mount -t proc proc "$root/proc"
  mount --rbind --make-rslave /sys "$root/sys"
  mkdir -p "$root/dev/shm"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  for shared in $SHARED; do
    if [ -d "$shared" ]; then mkdir -p "$root$shared"; else
      mkdir -p "$root$(dirname "$shared")"; touch "$root$shared"; fi
    mount --bind -o ro "$shared" "$root$shared"
  done
  settings=(HOME=/home/newcomer USER=newcomer LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin)
  while IFS= read -r name; do settings+=("$name=${!name}"); done < <(compgen -e PIP_ || true)
  for command in "$@"; do
    echo "== $command"
    started=$SECONDS
    chroot --userspec=newcomer:newcomer "$root" env -i "${settings[@]}" \
      bash -euo pipefail -c "cd ~/scenestyle && $command"
    echo "== took $((SECONDS - started)) s"
  done
' bash "$@"
