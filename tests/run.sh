#!/usr/bin/env bash
# The test command: makes the environment, runs the tests, and ends with pytest's own result and exit code.
# bash tests/run.sh [--no-venv] [arguments for pytest]
set -u
unset CDPATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/common/environment.sh"
if [[ ${1-} == --no-venv ]]; then venv=no; shift; fi
prepare_environment ruff

cd "$root" || exit 1
exec "$python" -m pytest -q "$@"
