#!/bin/sh
# build-deb.sh - the Debian package, by debhelper, from packaging/debian. The result is in dist/.
# `make deb` calls it, with everything built before; the package holds what `make install` installs.
set -eu
cd "$(dirname "$0")/.."
PROJECT=$PWD
export PROJECT
stage=.build/deb/goleapai-ws
rm -rf .build/deb
mkdir -p "$stage" dist
cp -R packaging/debian "$stage/"
cd "$stage"
# Dependencies are installed by .ci/packages; -d, since the Swift toolchain is no Debian package either. The date of everything
# inside is that of debian/changelog, so that the same sources make the same package.
LC_ALL=C.UTF-8 dpkg-buildpackage --build=binary --no-sign -d >../build.log 2>&1 || { tail -50 ../build.log >&2; exit 1; }
cd "$PROJECT"
rm -f dist/goleapai-ws*.deb
# The other one, -dbgsym, gives perf and gdb the names of functions.
cp .build/deb/goleapai-ws*.deb dist/
ls -l dist/goleapai-ws*.deb
