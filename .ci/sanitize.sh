#!/usr/bin/env bash
# Runs tests with AddressSanitizer: those of the core, and those of the package on an extension that is built with it.
#
#   .ci/sanitize.sh [core|extension [PYTEST ARGUMENT...]]
#
# Memory that is not ours is told, and arithmetic that overflows. The sanitizer is part of the compiler, but stable
# Rust does not show it. What starts other programs is left out: they would run with it, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=${1:-both}
shift || true
python=$PWD/.venv/bin/python
target=$PWD/target/sanitized
site=$target/site
runtime=$(cc -print-file-name=libasan.so)
[[ $runtime == /* ]] || { echo "no libasan.so, which comes with gcc" >&2; exit 1; }
# Exceptions of other packages' C++ go through it, and it has to know whose they are.
runtime="$runtime $(cc -print-file-name=libstdc++.so.6)"

export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes" PYO3_PYTHON=$python
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, the flags are not for build scripts and macros.
cargo=(--locked --profile dev --target "$host" --target-dir "$target")

if [[ $what != extension ]]; then
    # Of what is allocated in a process and never freed there is nothing to say.
    ASAN_OPTIONS=detect_leaks=0 cargo test "${cargo[@]}" -p quantum-butler-core
fi
if [[ $what != core ]]; then
    cargo build "${cargo[@]}" -p quantum-butler-py
    rm -rf "$site"
    mkdir -p "$site"
    cp -r python/quantum_butler "$site"
    rm -f "$site"/quantum_butler/_core.*.so
    suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
    cp "$target/$host/debug/lib_core.so" "$site/quantum_butler/_core$suffix"
    (($#)) || set -- tests/{core,upstream,butler,quantum,datastore,record_file,improvements,parity,archive,collecting}
    # It takes memory, which the tests of bombs count.
    set -- "$@" --ignore=tests/collecting/test_collect_bombs.py
    # Python's own memory comes from malloc, so that whoever reads beyond an object is told, too.
    env -u RUSTC_BOOTSTRAP -u RUSTFLAGS LD_PRELOAD="$runtime" PYTHONMALLOC=malloc PYTHONPATH="$site" \
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=0 \
        "$python" -m pytest --timeout=0 -p no:cacheprovider "$@"
fi
