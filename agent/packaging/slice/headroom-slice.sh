#!/bin/sh
# Starts the one-file program that lends and borrows memory. What it lends lies outside the heap, so that this may stay small.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
if [ -r "$here/notify.sh" ]; then . "$here/notify.sh"; fi
exec "$here/node" --max-semi-space-size=4 --max-old-space-size=256 --v8-pool-size=1 "$here/headroom-slice.mjs" "$@"
