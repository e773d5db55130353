#!/bin/sh
# Makes a minimal Debian and writes it to standard output as a tar archive. Needs root, debootstrap and a Debian mirror.
#
#   make.sh trixie | docker import - mqproof/base:trixie
set -eu
suite=${1:?usage: make.sh SUITE}
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 130' INT TERM

debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" >&2
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*

# No service starts while a package is installed, nothing is installed that was not asked for, and dpkg does not flush:
# a build that fails is made again.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
printf 'APT::Install-Recommends "false";\nAcquire::Retries "3";\n' > "$root/etc/apt/apt.conf.d/90mqproof"
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/90mqproof"

tar -C "$root" --numeric-owner -c .
