#!/usr/bin/env bash
# The test command: makes the environment, runs the tests, and ends with pytest's own result and exit code.
# tests/run.sh [--no-venv] [--all] [arguments for pytest]
# --all adds the slow set of tests/faults, and a table of the faults that were tried.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # started as `sh tests/run.sh`, where sh is another shell
set -u
unset CDPATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/common/environment.sh"
if [[ ${1-} == --help || ${1-} == -h ]]; then sed -n '2,4s/^# //p' "$0"; exit 0; fi
all=() venv=
while [[ ${1-} == --no-venv || ${1-} == --all ]]; do
    if [[ $1 == --all ]]; then all=(--override-ini norecursedirs=.venv); else venv=--no-venv; fi
    shift
done
find_python $venv

cd "$root" || exit 1
# A process for each core, each taking whole files: those of the slow set, which last longest, first. Tests that are
# named run in one process, which tells of a name that is wrong.
spread=(--numprocesses auto --dist loadfile --no-loadscope-reorder)
for argument; do [[ $argument == -* ]] || spread=(); done
exec "$python" common/driver_venv.py $venv -m pytest -q ${spread[0]+"${spread[@]}"} ${all[0]+"${all[@]}"} "$@"
