#!/bin/sh
# Lays out an image's root below /image: one package's tree, the shared libraries of its Node (with the loader), certificates of the
# usual authorities where the base has them, and one user. Run in the first stage of an image's build.
set -eu
home=$1
mkdir -p /image /image/tmp /image/etc/headroom "/image/var/lib/$home"
for package in /package/*.deb; do dpkg-deb -x "$package" /image; done
rm -rf /image/usr/share /image/usr/lib/systemd /image/etc/headroom/*
ldd "/image/usr/lib/$home/node" | sed -n 's|.* \(/[^ ]*\) (.*|\1|p; s|^\t\(/[^ ]*\) (.*|\1|p' | sort -u | while read -r library; do
  mkdir -p "/image$(dirname "$library")"
  cp -L "$library" "/image$library"
done
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
  mkdir -p /image/etc/ssl/certs
  cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/
fi
printf 'root:x:0:0:root:/:/usr/sbin/nologin\nheadroom:x:10001:10001:headroom:/var/lib/%s:/usr/sbin/nologin\n' "$home" > /image/etc/passwd
printf 'root:x:0:\nheadroom:x:10001:\n' > /image/etc/group
chmod 1777 /image/tmp
chown -R 10001:10001 "/image/var/lib/$home"
