#!/usr/bin/env bash
# Build wheels for Linux, and try each one that this machine can run.
#
#   .ci/wheels.sh OUTPUT
#
# WHEEL_PYTHONS (3.11 3.12 3.13 3.14) and WHEEL_TARGETS (x86_64-unknown-linux-gnu
# aarch64-unknown-linux-gnu) say for what.  Zig links against the symbols of an old
# glibc, and for other processors, so no container is needed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

output=$1
pythons=${WHEEL_PYTHONS:-3.11 3.12 3.13 3.14}
targets=${WHEEL_TARGETS:-x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

# Print the path of a Python of that version that can make virtual environments; nothing if there is none.
find_python() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python3; do
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# Install a wheel where nothing else is, and run a graph with it.
try_wheel() {
    local python=$1 wheel=$2 place=$tools/$3
    "$python" -m venv "$place"
    "$place/bin/pip" install --prefer-binary "${wheel}[demo]"
    (
        cd "$place"
        bin/python -c 'import quantum_butler._core as core; print("imported", core.__file__)'
        bin/quantum-butler -V
        PATH=$place/bin:$PATH bin/quantum-butler demo --detectors 2
    )
    rm -rf "$place"
}

mkdir -p "$output"
rm -f "$output"/*.whl
python3 -m venv "$tools/build"
"$tools/build/bin/pip" install maturin==1.16.0 ziglang==0.17.1 twine==7.0.0
export PATH=$tools/build/bin:$PATH
# The interpreters are named by their versions: none of them has to be here.
unset PYO3_PYTHON VIRTUAL_ENV

for target in $targets; do
    for version in $pythons; do
        printf '\n== A wheel for CPython %s on %s\n' "$version" "$target"
        maturin build --release --locked --zig --target "$target" --compatibility manylinux_2_28 \
            --interpreter "$version" --out "$output"
    done
done
twine check --strict "$output"/*.whl

machine=$(uname -m)
tried=0
for wheel in "$output"/*_"$machine".whl; do
    tag=$(sed -E 's/.*-cp3([0-9]+)-.*/3.\1/' <<<"$wheel")
    python=$(find_python "$tag")
    if [[ -z $python ]]; then
        printf '\n== Built, and not tried, since there is no CPython %s here: %s\n' "$tag" "$wheel"
        continue
    fi
    printf '\n== Trying %s\n' "$wheel"
    try_wheel "$python" "$(realpath "$wheel")" "py$tag"
    tried=$((tried + 1))
done
((tried)) || { echo "no wheel could be tried here" >&2; exit 1; }
