#!/usr/bin/env bash
# Asks the registry's advisories about every package of the environment; fails where one has a known hole. `make nightly` runs it.
#
#   infra/audit.sh [options of pip-audit, such as --ignore-vuln ID]
#
# pip-audit lives in an environment of its own, so that what is tested is what is used. Where the service cannot be reached, this says so
# and passes: no answer is not a finding. OBBLIGATO_VENV names the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${OBBLIGATO_VENV:-.venv}
own=$venv/audit
report=$(mktemp) log=$(mktemp)
trap 'rm -f "$report" "$log"' EXIT
[[ -x $own/bin/python ]] || "$venv/bin/python" -m venv "$own"
if ! "$own/bin/python" -m pip install --quiet --disable-pip-version-check 'pip-audit==2.10.1'; then
    echo "audit: pip-audit cannot be installed, so NOTHING WAS AUDITED" >&2
    exit 0
fi
status=0
PIPAPI_PYTHON_LOCATION=$(realpath --no-symlinks "$venv/bin/python") "$own/bin/python" -m pip_audit --progress-spinner off --skip-editable \
    --format json --output "$report" "$@" 2>"$log" || status=$?
((status != 2)) || { cat "$log" >&2; exit 2; } # wrong usage
"$venv/bin/python" - "$report" "$log" <<'PYTHON'
import json, pathlib, sys

report, log = (pathlib.Path(name).read_text() for name in sys.argv[1:])
packages = json.loads(report)["dependencies"] if report else []
audited = [package for package in packages if "vulns" in package]
if not audited:
    why = "it knows none of the packages" if packages else (log.strip().splitlines() or ["without a word"])[-1]
    print(f"audit: the advisory service gave no answer, so NOTHING WAS AUDITED: {why}", file=sys.stderr)
    sys.exit()
found = [(package, hole) for package in audited for hole in package["vulns"]]
for package, hole in found:
    mended = ", ".join(hole["fix_versions"]) or "no version yet"
    print(f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}")
unknown = [package["name"] for package in packages if "vulns" not in package]
print(f"audit: {len(found)} known holes in {len(audited)} packages; not known to the service: {', '.join(unknown) or 'none'}")
sys.exit(bool(found))
PYTHON
