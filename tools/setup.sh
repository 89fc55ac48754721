#!/usr/bin/env bash
# Makes .venv with everything that demo, tests and checks need. Usage: tools/setup.sh EXTRAS (e.g. "all" or "dev").
set -euo pipefail
cd "$(dirname "$0")/.."
extras=${1:-dev}
venv=${VENV:-.venv}

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null &&
       "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then python=$candidate; break; fi
  done
fi
[ -n "$python" ] || { echo "setup: no Python 3.11 or newer found; install one, or name it with PYTHON=..." >&2; exit 1; }

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"

# Without an NVIDIA driver the CUDA build of torch would only cost gigabytes: take the CPU build where its index
# answers. Elsewhere pip decides.
if ! "$venv/bin/python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)'; then
  index=()
  cpu_index=https://download.pytorch.org/whl/cpu
  if [ "$(uname -s)" = Linux ] && [ ! -e /proc/driver/nvidia/version ] &&
     curl -fsI --max-time 5 "$cpu_index/torch/" >/dev/null 2>&1; then index=(--index-url "$cpu_index"); fi
  $pip install -q -c constraints.txt "${index[@]}" torch
fi
$pip install -q -c constraints.txt -e ./mini-data -e ".[$extras,mini]"
