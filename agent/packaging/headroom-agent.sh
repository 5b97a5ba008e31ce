#!/bin/sh
# Starts the one-file agent with the settings that keep Node small. In a guest every MiB belongs to the tenant: a young
# generation of 1 MiB, an old one of 24, no helper threads but the two the port's reading and writing take, no machine code
# of its own (lite mode), one malloc arena, and memory given back to the kernel as soon as it is free (what starting takes
# would stay for ever), a collector that the agent may call before garbage spreads: some 47 MiB resident in all, of which 12 are private. Nobody debugs it there, so that a signal opens
# no debugger either. On a host the table of VMs and an hour of rows need room, and sampling hundreds of control groups a
# second is worth compiling.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
if [ -z "${HEADROOM_NODE:-}" ]; then
  if [ -x "$here/node" ]; then HEADROOM_NODE=$here/node; else HEADROOM_NODE=node; fi
fi
agent=${HEADROOM_AGENT:-$here/headroom-agent.mjs}
if [ -r "$here/notify.sh" ]; then . "$here/notify.sh"; fi
MALLOC_ARENA_MAX=1
export MALLOC_ARENA_MAX
case ${1:-} in
  guest)
    MALLOC_MMAP_THRESHOLD_=16384 MALLOC_TRIM_THRESHOLD_=16384 MALLOC_TOP_PAD_=4096
    UV_THREADPOOL_SIZE=2
    export MALLOC_MMAP_THRESHOLD_ MALLOC_TRIM_THRESHOLD_ MALLOC_TOP_PAD_ UV_THREADPOOL_SIZE
    exec "$HEADROOM_NODE" --max-semi-space-size=1 --max-old-space-size=24 --v8-pool-size=0 --single-threaded --lite-mode --expose-gc --disable-sigusr1 "$agent" "$@"
    ;;
  *) exec "$HEADROOM_NODE" --max-semi-space-size=4 --max-old-space-size=256 --v8-pool-size=1 "$agent" "$@" ;;
esac
