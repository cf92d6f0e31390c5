#!/bin/sh
# Changed archives, and changed records of the disk, against every reader, for so many seconds each. Needs nothing but the
# stable compiler.
#
#   sh scripts/fuzz.sh [SECONDS] [SEED]        default 60 1
#
# The result is the exit status; a failure prints the seed that replays it.
set -eu

cd "$(dirname "$0")/.."
cargo run --quiet -p bonfire-disk --example fuzz -- "${1:-60}" "${2:-1}"
exec cargo run --quiet -p bonfire-unpack --example fuzz -- "${1:-60}" "${2:-1}"
