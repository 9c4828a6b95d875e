#!/usr/bin/env bash
# Install what the tests use of the system, where that is allowed: as root, with apt-get. Never fails for it:
# tests of what is missing are skipped and say so (with CI set they fail).
#
#   bash scripts/system_packages.sh [base] [tests] [bench]      (tests if nothing is said)
#
# PYJOBS_NO_SYSTEM_PACKAGES=1 leaves the system alone.
set -euo pipefail

# command:package; tinyproxy-bin is the program without the service.
base=(make:make)
tests=(tinyproxy:tinyproxy-bin microsocks:microsocks zsh:zsh fish:fish curl:curl chromium:chromium chromium:fonts-noto-cjk
    systemd-analyze:systemd faketime:faketime mariadbd:mariadb-server)
bench=(cc:gcc cc:libc6-dev)

say() { echo "system packages: $*" >&2; }

wanted=()
for set in "${@:-tests}"; do
    case $set in
    base) wanted+=("${base[@]}") ;;
    tests) wanted+=("${tests[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    *) say "there is no set \`$set\`: base, tests, bench" && exit 2 ;;
    esac
done

packages=()
for pair in "${wanted[@]}"; do
    command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
done
# bootstrap.py makes the environment with python3-venv, which has no command of its own.
if [[ " $* " == *" base "* ]] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    packages+=(python3 python3-venv)
fi
[ ${#packages[@]} -gt 0 ] || exit 0

if [ -n "${PYJOBS_NO_SYSTEM_PACKAGES:-}" ] || ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    say "not installed: ${packages[*]} (tests of these are skipped; as root: apt-get install ${packages[*]})"
    exit 0
fi
say "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends "${packages[@]}"; } </dev/null >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    say "could not install ${packages[*]}: tests of these are skipped"
fi
