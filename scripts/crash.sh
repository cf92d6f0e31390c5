#!/bin/sh
# The crash layers in full, with their counts, each over games and over saves: the model disk and its planted bugs (A), the
# sweep over system calls (B), and power cuts on a real ext4 (C). B and C need root; C needs loop devices.
#
#   sh scripts/crash.sh           all
#   sh scripts/crash.sh B C       only these
#
# BONFIRE_CRASH_PART=1/2 runs one half of B; two halves may run beside each other from two checkouts. All of B over saves are
# three thousand points, several hours.
set -eu

cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- A B C
export BONFIRE_CRASH=full
for layer in "$@"; do
    case $layer in
    A) cargo test -p bonfire-testkit --test crash_games_folder --test crash_saves -- --nocapture ;;
    B) cargo build -p bonfire-cli && cargo test -p bonfire-tests --test crash_syscalls -- --nocapture ;;
    C) cargo build -p bonfire-cli && cargo test -p bonfire-tests --test crash_power -- --nocapture ;;
    *) sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
    esac
done
