#!/bin/sh
# `headroom` on a machine with the host agent alone: the first look at this host. The whole command line is in the package
# headroom-aggregator, which takes this name over where it is installed.
set -eu
case ${1:-help} in
  look) exec /usr/lib/headroom-agent/headroom-agent "$@" ;;
  help | --help | -h)
    echo 'headroom look [--sample-seconds N] [--json]   a first look at this host: nothing is written'
    echo 'headroom-agent help                           the agent of this host: kill, unkill, restore, …'
    echo 'All other commands talk to an aggregator: install headroom-aggregator where you sit.'
    ;;
  *)
    echo "headroom: \"$1\" needs the command line of the package headroom-aggregator; here there is \`headroom look\`" >&2
    exit 64
    ;;
esac
