#!/usr/bin/env bash
# Runs the fuzz targets on the saved corpus and then on so many inputs that grow from it.
#
#   [LENGTH=4096] [TIMEOUT=10] fuzz/run.sh [RUNS [TARGET...]]
#
# Inputs have at most LENGTH bytes, and TIMEOUT seconds each. With TMPDIR in memory, what writes files is faster.
#
# Stable Rust does it: the flags are those that tell libFuzzer which code is reached. With SANITIZER=address, memory
# that is not ours is told, too, at half the speed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

runs=${1:-20000}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(provenance log_lines log_frames lineage tables graphs acceptance manifest)

level="-Cllvm-args=-sanitizer-coverage"
export COVERAGE="-Cpasses=sancov-module $level-level=4 $level-inline-8bit-counters $level-pc-table $level-trace-compares"
export RUSTC_WRAPPER=$PWD/rustc.sh RUSTFLAGS="--cfg fuzzing"
folder=coverage
if [[ -n ${SANITIZER:-} ]]; then
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="$RUSTFLAGS -Zsanitizer=$SANITIZER" ASAN_OPTIONS=detect_leaks=0
    folder=$SANITIZER
fi
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, the flags are not for build scripts.
cargo build --quiet --release --locked --target "$host" --target-dir "../target/fuzz/$folder"

# Memory is kept, not given back: large buffers come and go with every input.
export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=1073741824

python=../.venv/bin/python
for target in "${targets[@]}"; do
    corpus=corpus/$target
    if [[ -f targets/$target.py ]]; then
        if ! "$python" -c 'import atheris' 2>/dev/null; then
            printf -- '-- %s is passed over: there is no atheris for this Python\n' "$target"
            continue
        fi
        command=("$python" "targets/$target.py")
        # It grows from what its twin in Rust has found.
        [[ $target != acceptance ]] || corpus=corpus/provenance
    else
        command=("../target/fuzz/$folder/$host/release/$target")
    fi
    new="../target/fuzz/corpus/$target"
    found="../target/fuzz/found/$target-"
    mkdir -p "$new" "$(dirname "$found")"
    printf -- '-- %s, %s runs\n' "$target" "$runs"
    "${command[@]}" -runs="$runs" -seed=1 -max_len="${LENGTH:-4096}" -timeout="${TIMEOUT:-10}" -rss_limit_mb=2048 \
        -dict=json.dict -artifact_prefix="$found" -print_final_stats=1 -verbosity=0 "$new" "$corpus"
done
