# Read by run_all.sh, tests/run.sh and .ci/run, which have set `root`. Plain POSIX shell, as these are.
# The first of $PYTHON, or of the usual names, that runs and is in range: sets `python` to its own full path.
# With --no-venv among the arguments it is the Python that will do the work; else only the one that makes .venv.
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
