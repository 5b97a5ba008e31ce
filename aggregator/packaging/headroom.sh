#!/bin/sh
# The command line `headroom`, with the Node of its package.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
exec "$here/node" --disable-warning=ExperimentalWarning "$here/program/cli/main.mjs" "$@"
