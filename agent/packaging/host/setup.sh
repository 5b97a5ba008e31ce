# The host agent's package. Installed, it watches and tells, and writes nothing: its kill switch is on until an administrator runs
# `headroom-agent unkill`. Removed, it puts back every original value first.
user=headroom-agent
unit=headroom-agent.service
state=/var/lib/headroom-agent
agent=/usr/lib/headroom-agent/headroom-agent

# libvirt's socket, and the sockets of guests' channels, which QEMU's group may use.
join_groups() {
  for group in libvirt kvm libvirt-qemu qemu; do
    if getent group "$group" >/dev/null; then usermod --append --groups "$group" "$user"; fi
  done
}

# Where nothing of ours is in force there is nothing to put back, libvirt or not.
restore_all() {
  "$agent" restore --all --config /etc/headroom/agent.yaml && return
  if ! ls "$state"/journal/*.json >/dev/null 2>&1 || [ "${HEADROOM_ABANDON:-}" = 1 ]; then return 0; fi
  start_service "$unit"
  echo "headroom-host-agent: not every original value could be put back (above: why), so the package stays." >&2
  echo "Mend that and try again, or leave the values as they are: HEADROOM_ABANDON=1 apt-get remove headroom-host-agent" >&2
  return 1
}

case ${1:-} in
  configure)
    make_user "$user" "$state"
    join_groups
    install -d -m 0711 -o "$user" -g "$user" "$state"
    if [ -z "${2:-}" ] && [ ! -e "$state/kill" ]; then
      for kind in journal kill lift; do install -d -m 0700 -o "$user" -g "$user" "$state/$kind"; done
      "$agent" kill --config /etc/headroom/agent.yaml --reason 'only observed since it was installed; headroom-agent unkill lets it act' >/dev/null
    fi
    if command -v update-alternatives >/dev/null; then
      update-alternatives --install /usr/bin/headroom headroom /usr/lib/headroom-agent/headroom 10 >/dev/null
    else
      [ -e /usr/bin/headroom ] || ln -s /usr/lib/headroom-agent/headroom /usr/bin/headroom
    fi
    start_service "$unit"
    ;;
  join-groups)
    join_groups
    start_service "$unit"
    ;;
  stop) stop_service "$unit" ;;
  remove)
    stop_service "$unit"
    restore_all
    if command -v update-alternatives >/dev/null; then update-alternatives --remove headroom /usr/lib/headroom-agent/headroom; fi
    ;;
  purge)
    forget_service "$unit"
    rm -rf "$state"
    remove_user "$user"
    ;;
  *) echo "setup: configure, join-groups, stop, remove or purge, not \"${1:-}\"" >&2; exit 64 ;;
esac
