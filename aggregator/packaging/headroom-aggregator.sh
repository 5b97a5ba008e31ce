#!/bin/sh
# Starts the aggregator with its own Node; under systemd it tells when it is ready and that it lives.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
if [ -r "$here/notify.sh" ]; then . "$here/notify.sh"; fi
exec "$here/node" --disable-warning=ExperimentalWarning "$here/program/main.mjs" "$@"
