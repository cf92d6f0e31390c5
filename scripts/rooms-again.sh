#!/bin/sh
# Runs the whole room suite again and again, to find what fails now and then (needs root).
#
#   sh scripts/rooms-again.sh          20 rounds
#   sh scripts/rooms-again.sh 5        5 rounds
#
# Prints one line a round. The first round that fails ends it, with all that round said and exit status 1. A scenario
# that cannot run here is a failure too: what was skipped twenty times was never repeated.
set -eu

cd "$(dirname "$0")/.."
rounds=${1:-20}
case $rounds in
'' | 0 | *[!0-9]*) sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
export CI=true CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}" CARGO_TERM_PROGRESS_WHEN=never
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
said=$target/rooms-again.log
cargo build --quiet --locked -p bonfire-cli
cargo test --quiet --locked -p bonfire-tests --test rooms --no-run

round=1
while [ "$round" -le "$rounds" ]; do
    began=$(date +%s)
    status=0
    cargo test --quiet --locked -p bonfire-tests --test rooms >"$said" 2>&1 </dev/null || status=$?
    took=$(($(date +%s) - began))
    if [ "$status" != 0 ]; then
        cat "$said"
        echo "round $round of $rounds: FAILED after $took s"
        exit 1
    fi
    passed=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$said")
    echo "round $round of $rounds: ${passed:-no} scenarios passed in $took s"
    [ "${passed:-0}" -gt 0 ] || exit 1
    round=$((round + 1))
done
