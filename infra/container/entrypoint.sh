#!/bin/sh
# What the container does depends on its arguments:
#   --id=… or --worker_pool   Beam starts a worker: its boot program takes over
#   anything else             runs as it stands: obbligato build …, prefect worker start …, python -m …
#   nothing                   shows what obbligato can do
set -eu
case ${1:-} in
    --*) exec /opt/apache/beam/boot "$@" ;;
    '') exec obbligato --help ;;
    *) exec "$@" ;;
esac
