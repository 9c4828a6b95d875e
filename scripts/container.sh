#!/bin/sh
# Where the image begins: says in plain words what a first start most often fails by, then becomes the command.
set -eu
for folder in "${PYJOBS_HOME:-/app}/data" "${PYJOBS_HOME:-/app}/logs"; do
    if ! mkdir -p "$folder" 2>/dev/null || ! [ -w "$folder" ]; then
        echo "error: \`$folder\` cannot be written by user $(id -u)" >&2
        echo "hint: on the host: chown $(id -u) the folder that is mounted there, or use a named volume" >&2
        exit 4
    fi
done
exec "$@"
