# Shared by the scripts beside it (sourced, not run): where things are, steps with times, what must be installed.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
# One profile for everything (`dev`): polars is built once. Names are used by the scripts that source this file.
# shellcheck disable=SC2034
cli=$CARGO_TARGET_DIR/debug/resshim
# shellcheck disable=SC2034
lib=$CARGO_TARGET_DIR/debug/libresshim.so

# step WHAT COMMAND…: runs it, says how long it took; a failure ends the script.
step() {
    local what=$1 started=$SECONDS
    shift
    printf '== %s\n' "$what"
    "$@" || { printf 'FAILED: %s (%s)\n' "$what" "$*" >&2; exit 1; }
    printf '== %s: %d s\n' "$what" $((SECONDS - started))
}

# install COMMAND:PACKAGE…: what is missing is installed where that is possible, else it is named and the script ends.
install() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        printf 'missing, please install (Debian: sudo apt-get install -y --no-install-recommends %s)\n' "${missing[*]}" >&2
        exit 1
    fi
    # The services are for tests that start their own: Debian would start each at installation.
    local policy=/usr/sbin/policy-rc.d ours=no
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && ours=yes; }
    local failed=no
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } || failed=yes
    [ $ours = yes ] && rm -f $policy
    [ $failed = no ] || { printf 'apt-get could not install: %s\n' "${missing[*]}" >&2; exit 1; }
}

# A Rust toolchain that was installed by rustup is found without a login shell.
command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null || { echo 'cargo is missing: https://rustup.rs (Rust 1.95 or later)' >&2; exit 1; }

# Both artifacts. `cargo test` alone does not build the cdylib.
build() { cargo build -q -p resshim-shim -p resshim-analyzer; }
