/**
 * What a tiny guest runs: the kernel modules it needs, and the script that is its first process, which obeys orders on a
 * virtio-serial channel, works for a load balancer and shuts down when its host asks, as its kernel's command line says.
 */

/** In the order insmod needs them. */
export const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_balloon',
  'virtio_blk',
  'virtio_console',
  'failover',
  'net_failover',
  'virtio_net',
  'virtio_mem',
];

/**
 * The guest's first process. Orders: `busy N` (N endless loops), `idle`, `fill MIB` (keeps that much in tmpfs), `ramp MIB` (the
 * same, little by little), `fast MIB` (the same, sooner), `touch` (reads what was filled), `free`,
 * `parts FIRST COUNT` (files of 4 MiB that nothing else holds), `load FIRST COUNT` (the same, from its first disk), `visit FIRST COUNT` (reads them, by a program that copies: busybox's `cat` hands pages on to /dev/null without looking at them), `peek FIRST HALVES` (so many halves of a MiB of one), `sum` (of all of them): each answered on the channel,
 * `listen PORT` (answers HTTP there, at /healthz, and is known to its host from then on), `talk PORT` (a connection to the host's loopback a few times a second, by user-mode networking), `unballoon` (its driver goes),
 * `swapon` (swaps to a disk of the serial `headroom-slice`, lets tmpfs grow beyond memory), `drop` (its files of `parts` go), `swapoff`, `swapped` (tells KiB swapped out), `total` (tells KiB of all its memory),
 * `keep` (writes those files to a disk of the serial `headroom-storage`), `kept COUNT` (sum of so many there, not from its caches): answered on the channel,
 * `req ID LOOPS` (computes, then writes `answer ID` to the channel), `reboot`, `poweroff`. `headroom.noballoon` on the kernel's command line leaves the balloon driver out.
 * `headroom.balancer=PORT` there: it does the work that port of the host's loopback gives it, loops of a shell, and says when it is done.
 * `clock` (tells its seconds since 1970, answered on the channel).
 * `headroom.qga`: it answers on QEMU's guest agent's channel, so far that it shuts down and sets its clock when asked.
 */
export const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=100% tmp /tmp
echo online_movable > /sys/devices/system/memory/auto_online_blocks
for module in ${MODULES.join(' ')}; do
  [ $module = virtio_balloon ] && grep -q headroom.noballoon /proc/cmdline && continue
  insmod /lib/$module.ko
done
ifconfig eth0 up 2>/dev/null
# Once it is there.
disk_of() {
  while :; do
    for disk in /sys/block/vd*; do [ "$(cat $disk/serial)" = $1 ] && echo /dev/\${disk##*/} && return; done
    sleep 0.2
  done
}
obey() {
  case $1 in
    busy) n=0; while [ $n -lt $2 ]; do (while :; do :; done) 3<&- & echo $! >> /tmp/busy; n=$((n + 1)); done ;;
    idle) [ -f /tmp/busy ] && kill -9 $(cat /tmp/busy); rm -f /tmp/busy ;;
    fill) dd if=/dev/zero of=/tmp/fill bs=1M count=$2 2>/dev/null ;;
    free) rm -f /tmp/fill /tmp/ramp.* ;;
    ramp) n=0; while [ $n -lt $2 ]; do dd if=/dev/zero of=/tmp/ramp.$n bs=1M count=4 2>/dev/null; n=$((n + 4)); sleep 0.6; done ;;
    fast) n=0; while [ $n -lt $2 ]; do dd if=/dev/zero of=/tmp/ramp.$n bs=1M count=8 2>/dev/null; n=$((n + 8)); sleep 0.1; done ;;
    talk) ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; (while :; do echo tick | nc -w 1 10.0.2.2 $2; sleep 0.3; done) >/dev/null 2>&1 3<&- & ;;
    listen) ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; echo fine > /tmp/healthz; httpd -p $2 -h /tmp 3<&-; nc -w 1 10.0.2.2 $2 </dev/null ;;
    touch) cat /tmp/ramp.* > /dev/null ;;
    clock) echo "clock $(date +%s)" >&3; return ;;
    req) n=0; while [ $n -lt $3 ]; do n=$((n + 1)); done; echo "answer $2" >&3; return ;;
    parts) n=$2; while [ $n -lt $(($2 + $3)) ]; do dd if=/dev/urandom of=/tmp/part.$n bs=1M count=4 2>/dev/null; n=$((n + 1)); done; echo "made $2 $3" >&3; return ;;
    load) n=$2; while [ $n -lt $(($2 + $3)) ]; do dd if=/dev/vda of=/tmp/part.$n bs=1M skip=$((n * 4)) count=4 iflag=direct 2>/dev/null; n=$((n + 1)); done; echo "loaded $2 $3" >&3; return ;;
    peek) dd if=/tmp/part.$2 of=/dev/null bs=512k count=$3 2>/dev/null; echo "peeked $2 $3" >&3; return ;;
    visit) n=$2; files=; while [ $n -lt $(($2 + $3)) ]; do files="$files /tmp/part.$n"; n=$((n + 1)); done; cat $files | dd of=/dev/null bs=1M 2>/dev/null; echo "visited $2 $3" >&3; return ;;
    total) set -- $(grep MemTotal /proc/meminfo); echo "total $2" >&3; return ;;
    sum) echo "sum $(cat /tmp/part.* | md5sum | cut -c1-32)" >&3; return ;;
    swapon) disk=$(disk_of headroom-slice); mkswap $disk; swapon $disk && mount -o remount,size=512M /tmp ;;
    keep) cat /tmp/part.* | dd of=$(disk_of headroom-storage) bs=64k conv=fsync 2>/dev/null; echo "kept" >&3; return ;;
    kept) echo 3 > /proc/sys/vm/drop_caches; echo "kept $(dd if=$(disk_of headroom-storage) bs=1M count=$(($2 * 4)) 2>/dev/null | md5sum | cut -c1-32)" >&3; return ;;
    drop) rm -f /tmp/part.* ;;
    swapoff) swapoff -a ;;
    swapped) set -- $(grep -E 'Swap(Total|Free)' /proc/meminfo); echo "swapped $(($2 - $5))" >&3; return ;;
    unballoon) rmmod virtio_balloon ;;
    reboot) reboot -f ;;
    poweroff) poweroff -f ;;
  esac
}
# The host tells a port's name some time after the port.
port_of() {
  for entry in /sys/class/virtio-ports/*; do
    [ "$(cat $entry/name 2>/dev/null)" = $1 ] && echo /dev/\${entry##*/}
  done
}
work() {
  while read -r loops; do
    n=0; while [ $n -lt $loops ]; do n=$((n + 1)); done
    echo done
  done
}
serve() {
  ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
  mkfifo /tmp/parts
  while :; do
    work </tmp/parts | nc 10.0.2.2 $balancer >/tmp/parts
    sleep 0.5
  done
}
answer_agent() {
  while :; do
    channel=$(port_of org.qemu.guest_agent.0)
    if [ -n "$channel" ] && exec 4<>$channel; then
      while read -r line <&4; do
        id=\${line##*'"id":'}; id=\${id# }; id=\${id%%[!0-9]*}
        case $line in
          *guest-sync-delimited*) printf '\\377{"return": %s}\\n' $id >&4 ;;
          *guest-sync*) printf '{"return": %s}\\n' $id >&4 ;;
          *guest-shutdown*) poweroff -f ;;
          *guest-set-time*)
            time=\${line##*'"time":'}; time=\${time# }; time=\${time%%[!0-9]*}
            date -s @$((time / 1000000000)) >/dev/null
            printf '{"return": {}}\\n' >&4 ;;
        esac
      done
      exec 4<&-
    fi
    sleep 0.5
  done
}
for argument in $(cat /proc/cmdline); do
  case $argument in
    headroom.balancer=*) balancer=\${argument#*=}; serve >/dev/null 2>&1 & ;;
    headroom.qga) answer_agent >/dev/null 2>&1 & ;;
  esac
done
echo headroom-guest-ready > /dev/console
port=
while :; do
  [ -z "$port" ] && port=$(port_of headroom.test)
  # One opener at a time: what is open is closed first, work in the background has it closed, too, and a shell ends when exec fails.
  exec 3<&-
  if [ -n "$port" ] && (: 3<>$port) 2>/dev/null && exec 3<>$port; then
    while read -r line <&3; do
      obey $line
      case $line in req*|clock|parts*|load*|visit*|peek*|sum|swapped|total|keep|kept*) ;; *) echo "done $line" > /dev/console ;; esac
    done
  fi
  sleep 0.5
done
`;
