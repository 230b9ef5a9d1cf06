#!/usr/bin/env bash
# A build on Google Cloud Dataflow with our image as its workers.
#
#   PROJECT=p REGION=europe-west4 BUCKET=gs://b IMAGE=europe-west4-docker.pkg.dev/p/r/obbligato@sha256:… \
#       infra/dataflow/run.sh gs://b/music --out gs://b/corpus
#
# IMAGE is named by its digest: a tag may be moved while jobs run. `docker buildx imagetools inspect IMAGE:TAG` shows it, and so does
# `gcloud artifacts docker images describe IMAGE:TAG --format='value(image_summary.digest)'`.
#
# Assumes: the image built with WITH_GCP=1 and USER_ID=0 (see infra/container/Dockerfile; Dataflow mounts folders that belong to root)
# and pushed; the same wheel here, in an environment made with WITH_GCP=1 infra/container/layers.sh python; credentials in
# GOOGLE_APPLICATION_CREDENTIALS or from `gcloud auth application-default login`; a subnetwork with Private Google Access, since
# workers get no public address. Dataflow's bill is yours: MAX_WORKERS bounds it. Never run: its options are checked by Beam's own parser
# and validator, which `obbligato build` asks too, before anything is submitted.
#
# Also read: SUBNETWORK (regions/REGION/subnetworks/NAME), SERVICE_ACCOUNT, MACHINE (n2-standard-4), THREADS (4), MAX_WORKERS (10).
# DRY_RUN=1 prints the command.
set -euo pipefail
(($# >= 3)) || { sed -n '2,18p' "$0" >&2; exit 2; }
: "${PROJECT:?is to be the id of a Google Cloud project}" "${REGION:?is to be a region, such as europe-west4}"
: "${BUCKET:?is to be a gs://bucket for temporary files}" "${IMAGE:?is to be the image of the workers, NAME@sha256:…}"
[[ $BUCKET == gs://* ]] || { echo "BUCKET must be a gs:// URL, not $BUCKET" >&2; exit 2; }
[[ $IMAGE =~ ^[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]] || {
    echo "IMAGE must be named by its digest, NAME@sha256:…, not $IMAGE: \`docker buildx imagetools inspect $IMAGE\` shows it" >&2
    exit 2
}
[[ " $* " =~ " --out gs://" || " $* " =~ " --out=gs://" ]] || { echo "--out must be a gs:// URL: workers share nothing else" >&2; exit 2; }

beam=(
    "project=$PROJECT"
    "region=$REGION"
    "temp_location=$BUCKET/tmp"
    "staging_location=$BUCKET/staging"
    "sdk_container_image=$IMAGE"
    sdk_location=container              # the SDK in the image, no download
    experiments=use_runner_v2           # custom images need it
    "machine_type=${MACHINE:-n2-standard-4}"
    "number_of_worker_harness_threads=${THREADS:-4}" # a thread drives one child process: as many as the machine has CPUs
    "max_num_workers=${MAX_WORKERS:-10}"
    autoscaling_algorithm=THROUGHPUT_BASED
    disk_size_gb=100
    no_use_public_ips
)
[[ -z ${SUBNETWORK:-} ]] || beam+=("subnetwork=$SUBNETWORK")
[[ -z ${SERVICE_ACCOUNT:-} ]] || beam+=("service_account_email=$SERVICE_ACCOUNT")

command=(obbligato build "$@" --runner DataflowRunner)
for option in "${beam[@]}"; do command+=(--beam "$option"); done
if [[ -n ${DRY_RUN:-} ]]; then
    printf '%q ' "${command[@]}"
    echo
else
    exec "${command[@]}"
fi
