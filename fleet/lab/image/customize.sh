#!/bin/sh
# mmdebstrap's customize hook: makes a plain Debian, at $1, the root of a lab host.
set -eu
cp -r "$(dirname "$0")/root/." "$1/"
chmod 0440 "$1/etc/sudoers.d/admin"
chroot "$1" useradd --create-home --shell /bin/bash admin
install -d -m 0700 "$1/home/admin/.ssh"
chroot "$1" chown admin:admin /home/admin/.ssh

# Each host gets its own identity at its creation; a name server would only be waited for.
rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id"
: > "$1/etc/machine-id"
rm -f "$1/etc/resolv.conf"
: > "$1/etc/resolv.conf"

# Nobody logs in at the console, and nothing may install packages or scrub disks in the middle of a measurement.
for unit in console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
    e2scrub_reap.service dpkg-db-backup.timer fstrim.timer systemd-firstboot.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
