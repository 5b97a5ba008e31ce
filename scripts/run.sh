#!/bin/sh
# Runs a TypeScript entry of this repository with the pinned Node: `sh scripts/run.sh ENTRY.ts [ARG ...]`.
# A fresh clone starts under whatever Node the system has, so this file is POSIX sh: it installs the locked
# dependencies when they are missing or older than the lockfile, then hands over to node_modules/.bin/node.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
stamp="$root/node_modules/.package-lock.json"
if [ ! -x "$root/node_modules/.bin/node" ] || [ ! -f "$stamp" ] || [ "$root/package-lock.json" -nt "$stamp" ]; then
  command -v npm >/dev/null 2>&1 || { echo 'headroom: npm was not found; install Node.js 18 or newer with npm, then try again.' >&2; exit 69; }
  echo 'headroom: installing the locked npm dependencies (npm ci)…' >&2
  (cd "$root" && npm ci --no-fund --no-audit --loglevel=error >&2) || { echo 'headroom: npm ci failed; the lines above say why.' >&2; exit 69; }
  touch "$stamp"
fi
node="$root/node_modules/.bin/node"
if [ ! -x "$node" ]; then
  echo "headroom: no pinned Node for this machine ($(uname -s) $(uname -m)); Linux on x86-64 or arm64 is needed." >&2
  exit 69
fi
entry=$1
shift
PATH="$root/node_modules/.bin:$PATH"
export PATH
exec "$node" --disable-warning=ExperimentalWarning "$root/$entry" "$@"
