#!/bin/sh
# Set-up of a Headroom package, called by its maintainer scripts, or by hand where it came as an archive:
#   setup configure [OLD-VERSION] | join-groups | stop | remove | purge
set -eu

under_systemd() { [ -d /run/systemd/system ]; }

make_user() { # NAME HOME
  getent group "$1" >/dev/null || groupadd --system "$1"
  getent passwd "$1" >/dev/null || useradd --system --gid "$1" --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1"
}

remove_user() { # NAME
  if getent passwd "$1" >/dev/null; then userdel "$1" || :; fi
  if getent group "$1" >/dev/null; then groupdel "$1" || :; fi
}

# Debian's helpers honour policy-rc.d and units their administrator disabled; other systems have systemctl alone.
start_service() { # UNIT
  if command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper unmask "$1" >/dev/null || :
    if deb-systemd-helper --quiet was-enabled "$1"; then deb-systemd-helper enable "$1" >/dev/null || :
    else deb-systemd-helper update-state "$1" >/dev/null || :; fi
    if under_systemd; then systemctl daemon-reload; deb-systemd-invoke restart "$1" >/dev/null || :; fi
  elif under_systemd; then
    systemctl daemon-reload
    systemctl enable --quiet "$1"
    systemctl restart "$1" || :
  fi
}

stop_service() { # UNIT
  if under_systemd; then systemctl stop "$1" || :; fi
}

forget_service() { # UNIT
  if command -v deb-systemd-helper >/dev/null; then deb-systemd-helper purge "$1" >/dev/null || :; deb-systemd-helper unmask "$1" >/dev/null || :
  elif under_systemd; then systemctl disable --quiet "$1" || :; fi
  if under_systemd; then systemctl daemon-reload || :; fi
}

