# The package of `headroom-slice`. Installed, nothing runs. It is not removed while a VM of this host uses a slice: the VM would
# stand still for ever.
user=headroom-slice
state=/var/lib/headroom-slice
run=/run/headroom-slice

# libvirt's socket, and QEMU's group, which is let onto the sockets that VMs' slices are served on.
join_groups() {
  for group in libvirt kvm; do
    if getent group "$group" >/dev/null; then usermod --append --groups "$group" "$user"; fi
  done
}

# Those that run go on with the new program; a VM waits meanwhile.
restart_running() {
  if under_systemd; then
    systemctl daemon-reload
    systemctl try-restart headroom-slice-lend.service 'headroom-slice-borrow@*.service' || :
  fi
}

borrowing() { ls "$run"/borrowed-*.json 2>/dev/null; }

refuse_in_use() {
  if ! borrowing >/dev/null || [ "${HEADROOM_ABANDON:-}" = 1 ]; then return 0; fi
  echo 'headroom-slice: VMs of this host use memory or disk space of another, and would be paused without this program:' >&2
  borrowing | sed -e 's/.*borrowed-\(storage-\)\{0,1\}/  VM /' -e 's/\.json$//' >&2
  echo 'swapoff, or umount, the slice in each guest, then `headroom-slice return --vm UUID --unused`, and try again' >&2
  echo 'or leave them to it: HEADROOM_ABANDON=1 apt-get remove headroom-slice' >&2
  return 1
}

case ${1:-} in
  configure)
    make_user "$user" "$state"
    join_groups
    install -d -m 0700 -o "$user" -g "$user" "$state"
    install -d -m 0755 /etc/headroom/slice-borrow
    restart_running
    ;;
  join-groups) join_groups ;;
  stop | remove)
    refuse_in_use
    if under_systemd; then systemctl disable --now --quiet headroom-slice-lend.service 'headroom-slice-borrow@*.service' || :; fi
    ;;
  purge)
    if under_systemd; then systemctl daemon-reload || :; fi
    rm -rf "$state" /etc/headroom/slice-borrow
    remove_user "$user"
    ;;
  *) echo "setup: configure, join-groups, stop, remove or purge, not \"${1:-}\"" >&2; exit 64 ;;
esac
