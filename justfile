# What there is to run. Every recipe is one command that also works without `just`.

# Lists the recipes.
default:
    @{{just_executable()}} --list --unsorted

# What CI runs: format, lints, tests, documentation, licences, the Windows target.
check:
    sh scripts/test.sh

# The tests alone.
test *ARGS:
    cargo build -p bonfire-cli
    cargo test --workspace {{ARGS}}

# Formats the code.
fmt:
    cargo fmt --all

# The room: several machines on one bridge, as network namespaces of this one (needs root).
room *ARGS:
    cargo build -p bonfire-cli
    cargo test -p bonfire-tests --test rooms -- --nocapture {{ARGS}}

# The whole room suite N times, one line a round; the first failing round ends it (needs root).
rooms-again N="20":
    sh scripts/rooms-again.sh {{N}}

# Benchmarks, as ratios measured in one run; the results belong into docs/benchmarks.md (needs root).
bench *ARGS:
    sh scripts/bench.sh {{ARGS}}

# The crash layers with large counts, and the planted bugs that they must catch.
crash *LAYERS:
    sh scripts/crash.sh {{LAYERS}}

# The properties of saves over a million cases each, and the simulated rooms over 2000 seeds.
soak *WHICH:
    sh scripts/soak.sh {{WHICH}}

# A room of three peers on this machine, in under a minute.
demo:
    cargo run --release -p bonfire-cli -- demo

# Lints for Windows, from Debian or Ubuntu.
windows:
    sh scripts/windows.sh clippy

# The tests of proto, engine and disk as Windows programs, under Wine.
windows-test:
    sh scripts/windows.sh test
