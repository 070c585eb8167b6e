#!/bin/sh
# The test command: makes the environment, runs the tests, and ends with pytest's own result and exit code.
# tests/run.sh [--no-venv] [--all] [arguments for pytest]
# --all adds the slow set of tests/faults, and a table of the faults that were tried.
set -u
unset CDPATH
root=$(cd "$(dirname "$0")/.." && pwd -P)
. "$root/common/environment.sh"
all="" venv=""
while :; do
    case ${1-} in
        --help | -h) sed -n '2,4s/^# //p' "$0"; exit ;;
        --no-venv) venv=--no-venv ;;
        --all) all="--override-ini norecursedirs=.venv" ;;
        *) break ;;
    esac
    shift
done
find_python $venv

cd "$root" || exit 1
# A process for each core, each taking whole files (see conftest.py), those of the slow set, which last longest, first.
# Tests that are named run in one process, which tells of a name that is wrong.
spread="--numprocesses auto --dist loadgroup --no-loadscope-reorder"
for argument; do
    case $argument in -*) ;; *) spread="" ;; esac
done
exec "$python" common/environment.py $venv -m pytest -q $spread $all "$@"
