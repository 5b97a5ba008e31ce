# The aggregator's package, with the command line `headroom`.
user=headroom-aggregator
unit=headroom-aggregator.service

case ${1:-} in
  configure)
    make_user "$user" /var/lib/headroom-aggregator
    if command -v update-alternatives >/dev/null; then
      update-alternatives --install /usr/bin/headroom headroom /usr/lib/headroom-aggregator/headroom 50 >/dev/null
    else
      ln -sf /usr/lib/headroom-aggregator/headroom /usr/bin/headroom
    fi
    start_service "$unit"
    ;;
  stop) stop_service "$unit" ;;
  remove)
    stop_service "$unit"
    if command -v update-alternatives >/dev/null; then update-alternatives --remove headroom /usr/lib/headroom-aggregator/headroom; fi
    ;;
  purge)
    forget_service "$unit"
    rm -rf /var/lib/headroom-aggregator
    remove_user "$user"
    ;;
  *) echo "setup: configure, stop, remove or purge, not \"${1:-}\"" >&2; exit 64 ;;
esac
