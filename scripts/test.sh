#!/bin/sh
# Checks everything, from a fresh clone on. Quick when it ran before.
#
#   sh scripts/test.sh               every step below, in order
#   sh scripts/test.sh fmt clippy    only these
#
# Steps: packages fetch fmt clippy build test doc deny windows
#
# The result is the exit status. A step that this machine cannot do is skipped with a loud line, and named once more at
# the end.
set -eu

cd "$(dirname "$0")/.."
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}" CARGO_TERM_PROGRESS_WHEN=never
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
skipped=

step() { printf '\n==> %s\n' "$*" >&2; }

skip() {
    printf '\n================ SKIPPED: %s ================\n%s\n' "$1" "$2" >&2
    skipped="$skipped
  $1: $2"
}

# Command, and the package that brings it; freedoom is a real game as the payload of a room, and the last two are games
# that are played in one.
needed() {
    cat <<'LIST'
strace strace
ip iproute2
tc iproute2
mkfs.ext4 e2fsprogs
losetup mount
nft nftables
b3sum b3sum
rsync rsync
scp openssh-client
cc gcc
faketime faketime
zip zip
xz xz-utils
7z p7zip-full
bsdtar libarchive-tools
bzip2 bzip2
script bsdutils
zstd zstd
/usr/games/chocolate-doom chocolate-doom
Xvfb xvfb
/usr/games/nethack nethack-console
/usr/games/crawl crawl
LIST
}

packages() {
    step "packages that the tests use"
    missing=$(needed | while read -r command package; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null 2>&1 || printf '%s\n' "$package"
    done | sort -u)
    [ -e /usr/share/games/doom/freedoom1.wad ] || missing="$missing
freedoom"
    missing=$(printf '%s' "$missing" | tr '\n' ' ' | sed 's/^ *//; s/ *$//')
    [ -n "$missing" ] || { echo "all there" >&2; return; }
    if ! command -v apt-get >/dev/null 2>&1; then
        skip packages "no apt-get here; the tests that need them will say so: $missing"
    elif [ "$(id -u)" != 0 ]; then
        skip packages "not root; as root: apt-get install --no-install-recommends $missing"
    else
        echo "installing $missing" >&2
        # shellcheck disable=SC2086
        if ! { DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; apt-get update &&
            apt-get install -y --no-install-recommends $missing; } >"$target/packages.log" 2>&1 </dev/null; then
            skip packages "could not install $missing; the log is packages.log in the target folder"
        fi
    fi
}

# Everything later runs offline, so that a step neither waits for nor speaks of the network.
fetch() {
    step "dependencies"
    if ! cargo fetch --locked >"$target/fetch.log" 2>&1 </dev/null; then
        echo "could not fetch the dependencies; the log is fetch.log in the target folder" >&2
        # Why, unless that names a host.
        grep -v -e '://' -e 'registry' "$target/fetch.log" >&2 || true
        exit 1
    fi
    export CARGO_NET_OFFLINE=true
}

fmt() {
    step "format"
    cargo fmt --all -- --check
}

clippy() {
    step "lints"
    cargo clippy --locked --workspace --all-targets -- -D warnings
}

build() {
    step "the program"
    cargo build --locked -p bonfire-cli
}

run_tests() {
    step "tests"
    cargo test --locked --workspace --no-fail-fast
}

doc() {
    step "documentation"
    RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --locked --workspace --no-deps
}

deny() {
    step "licences, advisories, sources of the dependencies"
    if command -v cargo-deny >/dev/null 2>&1; then
        # The advisories are fetched, which is the one step that has to be online.
        env -u CARGO_NET_OFFLINE cargo deny --log-level error check
    else
        skip deny "cargo-deny is not installed: cargo install --locked cargo-deny"
    fi
}

windows() {
    step "lints for Windows"
    status=0
    sh scripts/windows.sh clippy || status=$?
    case $status in
    0) ;;
    77) skip windows "the Windows target could not be set up here; nothing was checked for it" ;;
    *) exit "$status" ;;
    esac
}

[ $# -gt 0 ] || set -- packages fetch fmt clippy build test doc deny windows
for name in "$@"; do
    case $name in
    test) run_tests </dev/null ;;
    packages | fetch | fmt | clippy | build | doc | deny | windows) "$name" </dev/null ;;
    *) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
    esac
done
printf '\n' >&2
[ -z "$skipped" ] || printf 'SKIPPED, so not checked:%s\n' "$skipped" >&2
echo "all steps that could run passed" >&2
