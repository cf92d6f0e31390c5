#!/bin/sh
# Benchmarks of whole peers, as ratios measured in one run (needs root for network namespaces).
#
#   sh scripts/bench.sh                       all of them
#   sh scripts/bench.sh transfer cancel       only these: library delta transfer cancel large idle
#                                             save-latency save-bytes save-many save-evening
#
# BONFIRE_GIB, BONFIRE_ROUNDS, BONFIRE_CANCELS and BONFIRE_IDLE_MINUTES change the amounts. The tables are printed on
# stdout and belong into docs/benchmarks.md.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release -p bonfire-cli
cargo build --quiet --release -p bonfire-tests --bin bonfire-bench
if [ -e crates/net/examples/bare_stream.rs ]; then
    cargo build --quiet --release -p bonfire-net --example bare_stream
fi
BONFIRE_BIN=$(realpath "$target/release/bonfire")
export BONFIRE_BIN
exec "$target/release/bonfire-bench" "$@"
