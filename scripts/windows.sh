#!/bin/sh
# Builds and checks Bonfire for Windows (x86_64-pc-windows-gnu) from Debian or Ubuntu.
#
#   sh scripts/windows.sh setup    what the other two need, once; quick when it is there
#   sh scripts/windows.sh clippy   clippy with -D warnings over every crate but the end-to-end tests
#   sh scripts/windows.sh test     the tests of proto, engine and disk, under Wine
#
# Exit status 77 means: skipped, because this machine cannot have what is needed. Everything that is built lies beneath
# target/windows, so `rm -rf target/windows` starts afresh. Nothing here is a proof about a real Windows.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd)
cache=$root/target/windows
triple=x86_64-pc-windows-gnu
compiler_packages="rustc-web cargo-web rust-web-src rust-web-clippy gcc-mingw-w64-x86-64"
wine_packages="wine wine64"

say() { printf '%s\n' "windows: $*" >&2; }

skip() {
    printf '%s\n' "" "================ WINDOWS SKIPPED ================" "$*" \
        "=================================================" "" >&2
    exit 77
}

# Installs packages where that is possible at all, and skips the whole step where it is not.
need_packages() {
    command -v apt-get >/dev/null 2>&1 || skip "There is no apt-get here; needed: $*"
    [ "$(id -u)" = 0 ] || skip "Not root, so these packages cannot be installed: $*"
    say "installing $*"
    mkdir -p "$cache"
    log=$cache/apt.log
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    if ! { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        skip "The packages could not be installed: $*. The log is target/windows/apt.log."
    fi
}

# A compiler for the target: rustup's, when its target is installed, else the distribution's. The distribution ships no
# std for the target, so it is built from the source package, once for each compiler version.
choose_compiler() {
    if command -v rustup >/dev/null 2>&1 && sysroot=$(rustc --print sysroot 2>/dev/null) &&
        [ -d "$sysroot/lib/rustlib/$triple/lib" ] && command -v x86_64-w64-mingw32-gcc >/dev/null 2>&1; then
        cargo=cargo
        flags=
        return
    fi
    if ! distribution_compiler_is_there; then
        # shellcheck disable=SC2086
        need_packages $compiler_packages
        distribution_compiler_is_there || skip "The distribution's Rust is older than rust-version in Cargo.toml."
    fi
    # A rustup shim earlier in PATH would mix two compilers: its clippy cannot read what this rustc wrote.
    PATH=/usr/bin:$PATH
    RUSTC=/usr/bin/rustc
    export PATH RUSTC
    unset RUSTC_WRAPPER RUSTUP_TOOLCHAIN || true
    cargo=/usr/bin/cargo
    sysroot=$cache/sysroot-$(rustc_key)
    [ -f "$sysroot/complete" ] || build_std
    flags=$(printf -- '--sysroot\037%s' "$sysroot")
}

distribution_compiler_is_there() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -x /usr/bin/cargo-clippy ] &&
        [ -d /usr/lib/rustlib/src/rust/library ] && command -v x86_64-w64-mingw32-gcc >/dev/null 2>&1 &&
        new_enough "$(/usr/bin/rustc -V | cut -d' ' -f2)" "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
}

new_enough() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

rustc_key() { /usr/bin/rustc -vV | cksum | tr ' ' '-'; }

build_std() {
    say "building std for $triple with $(/usr/bin/rustc -V) (once for each compiler version)"
    work=$cache/std
    rm -rf "$work" "$cache"/sysroot-*
    mkdir -p "$work/src" "$sysroot/lib/rustlib/$triple/lib"
    printf '[package]\nname = "hello"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$work/Cargo.toml"
    printf 'fn main() {}\n' >"$work/src/main.rs"
    # RUSTC_BOOTSTRAP is confined to this one call: the product itself is built without any unstable flag.
    (
        cd "$work"
        env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_PANIC=unwind \
            CARGO_TARGET_DIR="$work/target" CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc \
            "$cargo" build --quiet --release -Z build-std=std,panic_abort,panic_unwind,test --target "$triple"
    ) </dev/null
    cp "$work/target/$triple/release/deps"/lib*.rlib "$sysroot/lib/rustlib/$triple/lib/"
    rm -rf "$work"
    : >"$sysroot/complete"
}

# The target's own flags only: build scripts and proc-macros run here and must not see them.
run_cargo() {
    env -u RUSTFLAGS CARGO_ENCODED_RUSTFLAGS="$flags" CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$cache/build" \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine "$cargo" "$@" </dev/null
}

# Not the end-to-end tests: their rooms are Linux network namespaces, and they ship nowhere.
clippy() {
    choose_compiler
    # shellcheck disable=SC2086
    run_cargo clippy --locked ${PACKAGES:---workspace --exclude bonfire-tests} --all-targets --target "$triple" -- -D warnings
    say "clippy is clean for $triple"
}

# Wine 8 lacks the one function that std takes its randomness from; a stand-in for it lies in scripts/windows.
wine_prefix() {
    command -v wine >/dev/null 2>&1 || need_packages $wine_packages
    WINEPREFIX=$cache/wine WINEARCH=win64 WINEDEBUG=-all DISPLAY= WINEDLLOVERRIDES="mscoree,mshtml="
    export WINEPREFIX WINEARCH WINEDEBUG DISPLAY WINEDLLOVERRIDES
    [ -f "$WINEPREFIX/complete" ] && return
    say "making a Wine prefix (once)"
    rm -rf "$WINEPREFIX"
    wine wineboot -i >/dev/null 2>&1 </dev/null
    system=$WINEPREFIX/drive_c/windows/system32
    if [ ! -f "$system/bcryptprimitives.dll" ]; then
        x86_64-w64-mingw32-gcc -O2 -shared -o "$system/bcryptprimitives.dll" scripts/windows/bcryptprimitives.c -ladvapi32
    fi
    : >"$WINEPREFIX/complete"
}

wine_test() {
    choose_compiler
    wine_prefix
    # All targets, because rustdoc's examples do not see the std that was built here.
    # shellcheck disable=SC2086
    run_cargo test --locked --no-fail-fast --all-targets ${PACKAGES:--p bonfire-proto -p bonfire-engine -p bonfire-disk} --target "$triple"
    say "the tests pass under Wine; that is not a real Windows"
}

case "${1:-}" in
setup) choose_compiler && say "ready" ;;
clippy) clippy ;;
test) wine_test ;;
*)
    sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
