#!/bin/sh
# The specification's name for scripts/setup_venv.py on Linux and macOS; options are passed on.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for python in ${PYJOBS_PYTHON:-} python3 python3.13 python3.12 python3.11 python3.10 python; do
    if command -v "$python" >/dev/null 2>&1; then
        exec "$python" "$here/setup_venv.py" "$@"
    fi
done
echo "error: there is no python3 here" >&2
echo "hint: on Debian or Ubuntu: apt-get install python3 python3-venv" >&2
exit 1
