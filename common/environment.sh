# Read by run_all.sh, tests/run.sh and .ci/run, which have set `root`. Plain POSIX shell, as the first two are.
# Sets `python` to the path of $PYTHON, or of the first usual name that runs and is in range. With --no-venv among the
# arguments it will do the work, else it only makes .venv.
find_python() {
    names="python3.13 python3.12 python3.11 python3 python"
    case " $* " in
        *" --no-venv "*) names="python3 python" ;;
        *) unset PYTHONPATH PYTHONHOME ;; # of another Python: they must not reach into .venv
    esac
    if [ -n "${PYTHON-}" ]; then set -- "$PYTHON"; else set -- $names "$root/.venv/bin/python"; fi
    for name; do
        python=$("$name" -c 'import sys
print(sys.executable); sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null) && return
    done
    echo "error: Python 3.11 to 3.13 is needed, and none of $* is: install one, or set PYTHON to its path" >&2
    exit 1
}
