#!/bin/sh
# Every property of docs/save-properties.md that is a rule of pure code over a million random cases, then the simulated
# rooms and players over many seeds. One line each, with cases and seconds; the first that fails ends it with its shortest case.
#
#   sh scripts/soak.sh                   all
#   sh scripts/soak.sh p03 p12           only properties whose name begins so
#   sh scripts/soak.sh rooms players     only the simulations
#
# BONFIRE_CASES (1000000), BONFIRE_SEEDS (0..2000) and BONFIRE_PLAYER_SEEDS (20000) say how many.
set -eu

cd "$(dirname "$0")/.."
export CARGO_INCREMENTAL=0 BONFIRE_CASES="${BONFIRE_CASES:-1000000}"
seeds=${BONFIRE_SEEDS:-0..2000}
unset BONFIRE_SEEDS
log=${CARGO_TARGET_DIR:-target}/soak.log
mkdir -p "$(dirname "$log")"

wanted() {
    [ $# -gt 1 ] || return 0
    name=$1
    shift
    for prefix in "$@"; do
        case $name in "$prefix"*) return 0 ;; esac
    done
    return 1
}

# One test alone: its name, how much it ran over, how long that took.
run() {
    shown=$1 much=$2
    shift 2
    began=$(date +%s)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        echo "$shown failed; BONFIRE_CASES=$BONFIRE_CASES" >&2
        exit 1
    fi
    grep -q 'test result: ok. 1 passed' "$log" || { echo "$shown did not run" >&2; exit 1; }
    met=$(sed -n 's/^.* cases, \(of which\|what it is about in\) //p' "$log" | head -n 1)
    printf '%-100s %s %6d s  %s\n' "$shown" "$much" $(($(date +%s) - began)) "$met"
}

pure() {
    package=$1 target=$2
    shift 2
    # shellcheck disable=SC2086
    set -- "$@"
    tests=$(cargo test --release --locked -q -p "$package" $target -- --list 2>/dev/null |
        sed -n 's/^\(\(.*::\)\{0,1\}p[0-2][0-9]_[a-z0-9_]*\): test$/\1/p')
    [ -n "$tests" ] || { echo "no properties in $package $target" >&2; exit 1; }
    for test in $tests; do
        if wanted "${test##*::}" "$@"; then
            # shellcheck disable=SC2086
            run "${test##*::}" "$BONFIRE_CASES cases" \
                cargo test --release --locked -q -p "$package" $target -- --exact "$test" --nocapture
        fi
    done
}

pure bonfire-engine "--test saves" "$@"
pure bonfire-engine "--test pictures" "$@"
pure bonfire-engine "--lib" "$@"
pure bonfire-proto "--test saves" "$@"
pure bonfire-proto "--test paths" "$@"
pure bonfire-proto "--test pictures" "$@"
if wanted rooms "$@"; then
    run rooms_simulated "seeds $seeds" env BONFIRE_SEEDS="$seeds" \
        cargo test --release --locked -q -p bonfire-testkit --test rooms_simulated -- --nocapture
fi
if wanted players "$@"; then
    players=${BONFIRE_PLAYER_SEEDS:-20000}
    run sim_player "seeds 0..$players" env BONFIRE_PLAYER_SEEDS="$players" \
        cargo test --release --locked -q -p bonfire-testkit --test sim_player devices_that_write -- --nocapture
fi
