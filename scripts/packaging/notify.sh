# Read by launchers under systemd: opens a pipe whose lines (READY=1, WATCHDOG=1, …) a waiting shell hands to the service
# manager. Node has no datagrams over Unix sockets, and loading its module for child processes would cost a guest 2.6 MiB;
# this shell costs 0.4. It ends when the service's end of the pipe does.
if [ -n "${NOTIFY_SOCKET:-}" ] && [ -n "${RUNTIME_DIRECTORY:-}" ]; then
  headroom_pipe=${RUNTIME_DIRECTORY%%:*}/notify.$$
  mkfifo -m 600 "$headroom_pipe"
  while read -r headroom_word; do systemd-notify "$headroom_word" || :; done <"$headroom_pipe" &
  exec 3>"$headroom_pipe"
  rm -f "$headroom_pipe"
  HEADROOM_NOTIFY_FD=3
  export HEADROOM_NOTIFY_FD
fi
