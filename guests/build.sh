#!/usr/bin/env bash
# Rebuilds the guests from their sources, on Debian 12.
#
#   guests/build.sh [--check] [NAME...]
#
# Without names, all of them. --check builds into a scratch folder and compares with what is checked in.
# The same sources, Cargo.lock and tool versions give the same bytes on every machine.
#
#   CARGO_TARGET_DIR   where cargo builds (default: guests/target)
#   GUEST_TOOLS        where wasm-tools and wit-bindgen are, or are installed (default: guests/target/tools)
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD

wasm_tools_version=1.263.0
wit_bindgen_version=0.63.0

main() {
    local check=
    if [ "${1-}" = --check ]; then
        check=1
        shift
    fi
    local names=("$@")
    if [ ${#names[@]} = 0 ]; then
        names=("${rust_commands[@]}" "${others[@]}")
    fi

    prepare
    out=$here
    if [ "$check" ]; then
        out=$(mktemp -d)
        trap 'rm -rf "$out"' EXIT
    fi
    for name in "${names[@]}"; do
        echo "== $name" >&2
        mkdir -p "$out/$name"
        if [[ " ${others[*]} " == *" $name "* ]]; then
            profile=release "build_${name//-/_}"
        else
            profile=release rust_component "$name" "$out/$name/$name.wasm"
        fi
    done
    for name in "${names[@]}"; do
        for file in "$out/$name"/*.wasm; do
            verify "$file"
            if [ "$check" ]; then
                cmp "$file" "$here/$name/$(basename "$file")"
            fi
        done
    done
}

# Guests that are one Rust crate with one component of the same name.
rust_commands=(hello cat wc grep timers exit7 env fs pump files basics sockets echo http-faults http-types http-proxy http-slow)
# The rest; each has its own function below.
others=(trap tower sieve kernels pair bench-calls bench-hand http-hello http-echo)

# C, with the bindings that wit-bindgen makes and as much of wasi-libc as imports nothing.
build_sieve() {
    local work=$CARGO_TARGET_DIR/sieve
    mkdir -p "$work"
    wit-bindgen c "$here/sieve/wit" --world sieve --out-dir "$work" >/dev/null
    clang-19 --target=wasm32-wasi -O2 -Wall -Wextra -mexec-model=reactor -Wl,--strip-debug -I "$work" \
        "$here/sieve/sieve.c" "$work/sieve.c" "$work/sieve_component_type.o" -o "$work/sieve.wasm"
    wasm-tools component new "$work/sieve.wasm" -o "$out/sieve/sieve.wasm"
}

build_kernels() {
    profile=fast
    rust_component kernels "$out/kernels/kernels.wasm"
}

build_http_hello() {
    profile=fast
    rust_component http-hello "$out/http-hello/http-hello.wasm"
}

build_http_echo() {
    profile=fast
    rust_component http-echo "$out/http-echo/http-echo.wasm"
}

# Twice: as programs are shipped, and with what a debugger needs.
build_trap() {
    rust_component trap "$out/trap/trap.wasm"
    profile=located
    rust_component trap "$out/trap/trap-located.wasm"
}

# C without a library, with what a debugger needs.
build_tower() {
    local work=$CARGO_TARGET_DIR/tower
    mkdir -p "$work"
    clang-19 --target=wasm32 -O1 -g -Wall -Wextra -Wno-infinite-recursion -nostdlib -ffile-prefix-map="$here=guests" -Wl,--no-entry \
        "$here/tower/tower.c" -o "$work/tower.wasm"
    wasm-tools component embed "$here/tower/tower.wit" "$work/tower.wasm" -o "$work/embedded.wasm"
    wasm-tools component new "$work/embedded.wasm" -o "$out/tower/tower.wasm"
}

build_pair() {
    rust_component pair-caller "$out/pair/caller.wasm"
    rust_component pair-callee "$out/pair/callee.wasm"
    compose "$out/pair/caller.wasm" "$out/pair/callee.wasm" "$out/pair/pair.wasm"
}

build_bench_calls() {
    profile=fast
    rust_component bench-calls-caller "$out/bench-calls/caller.wasm"
    rust_component bench-calls-callee "$out/bench-calls/callee.wasm"
    compose "$out/bench-calls/caller.wasm" "$out/bench-calls/callee.wasm" "$out/bench-calls/bench-calls.wasm"
}

build_bench_hand() {
    wasm-tools parse "$here/bench-hand/bench-hand.wat" -o "$out/bench-hand/bench-hand.wasm"
}

# compose CALLER CALLEE OUT: gives the first component what the second exports.
compose() {
    wasm-tools compose --quiet "$1" --definitions "$2" -o "$3"
}

# rust_component PACKAGE OUT: compiles one package of the workspace and wraps its core module.
#
# One package at a time, so that each has the features it asked for and no others.
rust_component() {
    cargo build --quiet --profile "$profile" --locked -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown \
        --manifest-path "$here/Cargo.toml" -p "$1"
    wasm-tools component new "$CARGO_TARGET_DIR/wasm32-unknown-unknown/$profile/${1//-/_}.wasm" -o "$2"
}

# verify FILE: the component is valid, imports nothing but WASI 0.3, and tells nothing about who built it.
verify() {
    wasm-tools validate --features all "$1"
    if wasm-tools component wit "$1" | sed -n '/^world /,/^}/p' | grep '^  import ' |
        grep -vE '^  import (wasi:[a-z]+/[a-z-]+@0\.3\.|tombolo:)'; then
        echo "$1 imports more than WASI 0.3" >&2
        return 1
    fi
    if strings -n 5 "$1" | grep -E '/root|/home|/work|/tmp|registry|crates\.io|index\.crates'; then
        echo "$1 carries the names above" >&2
        return 1
    fi
    echo "$(stat -c %s "$1") bytes  ${1#"$out"/}" >&2
}

# Everything the builds need: Debian's compiler with the standard library's source, linkers, and two tools.
prepare() {
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target}
    GUEST_TOOLS=${GUEST_TOOLS:-$here/target/tools}
    export PATH=$GUEST_TOOLS/bin:$PATH

    local packages=() package
    for package in rustc-web rust-web-src lld-19 clang-19 wasi-libc libclang-rt-19-dev-wasm32 binutils; do
        dpkg -s "$package" >/dev/null 2>&1 || packages+=("$package")
    done
    if [ ${#packages[@]} != 0 ]; then
        apt-get update -q
        apt-get install -y -q --no-install-recommends "${packages[@]}"
    fi
    tool wasm-tools "$wasm_tools_version" wasm-tools
    tool wit-bindgen "$wit_bindgen_version" wit-bindgen-cli

    # Debian's compiler comes without the standard library for wasm; RUSTC_BOOTSTRAP lets cargo build it.
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19
    cargo fetch --quiet --locked --manifest-path "$here/Cargo.toml"
    local sysroot registry flags
    sysroot=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust
    flags="--remap-path-prefix=$here=guests --remap-path-prefix=$sysroot=rust --remap-path-prefix=$CARGO_TARGET_DIR=target"
    for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
        flags+=" --remap-path-prefix=${registry%/}=deps"
    done
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=$flags
}

# tool COMMAND VERSION CRATE: installs a tool unless this version of it is there.
tool() {
    if [[ "$("$1" --version 2>/dev/null)" != *" $2"* ]]; then
        cargo install --quiet --locked --root "$GUEST_TOOLS" --version "$2" "$3"
    fi
}

main "$@"
