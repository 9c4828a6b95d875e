#!/bin/sh
# What the specification's deploy script does: an environment, folders, the store, the daemon, and a look at it.
#   scripts/deploy.sh [HOME]      HOME: where data, logs and settings are; else PYJOBS_HOME, else the project's folder
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
PYJOBS_HOME=${1:-${PYJOBS_HOME:-$root}}
export PYJOBS_HOME
python=${PYJOBS_PYTHON:-python3}

echo "1/4 environment"
"$python" "$root/scripts/setup_venv.py"
pyjobs=$root/venv/bin/pyjobs

echo "2/4 home: $PYJOBS_HOME"
mkdir -p "$PYJOBS_HOME/data" "$PYJOBS_HOME/logs"
chmod 700 "$PYJOBS_HOME/data" "$PYJOBS_HOME/logs"
"$pyjobs" config check

echo "3/4 daemon"
"$pyjobs" daemon restart

echo "4/4 status"
"$pyjobs" status
