# The guest agent's package.
user=headroom-guest
unit=headroom-guest-agent.service

# Its port and the switches of vCPUs become its group's now, as the rules say, and not only after a restart of the guest.
apply_rules() {
  if [ -S /run/udev/control ]; then
    udevadm control --reload || :
    udevadm trigger --action=add --subsystem-match=virtio-ports --subsystem-match=cpu || :
    udevadm settle --timeout=10 || :
  fi
}

case ${1:-} in
  configure)
    make_user "$user" /var/lib/headroom-guest-agent
    apply_rules
    start_service "$unit"
    ;;
  stop | remove) stop_service "$unit" ;;
  purge)
    forget_service "$unit"
    rm -rf /var/lib/headroom-guest-agent
    remove_user "$user"
    ;;
  *) echo "setup: configure, stop, remove or purge, not \"${1:-}\"" >&2; exit 64 ;;
esac
