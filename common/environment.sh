# For run_all.sh, tests/run.sh and .ci/run, which source this file after setting `root`.

# The first of $PYTHON, or of the usual names, that runs and is in range: sets `python` to its own full path.
# With --no-venv among the arguments it is the Python that will do the work; else only the one that makes .venv.
find_python() {
    local name answer seen= names="python3.13 python3.12 python3.11 python3 python"
    case " $* " in
        *" --no-venv "*) names="python3 python" ;;
        *) unset PYTHONPATH PYTHONHOME ;; # of another Python: they must not reach into .venv
    esac
    if [[ -n ${PYTHON-} ]]; then set -- "$PYTHON"; else set -- $names "$root/.venv/bin/python"; fi
    for name in "$@"; do
        answer=$("$name" -c 'import sys; print("%d.%d %s" % (sys.version_info[:2] + (sys.executable,)))' 2>/dev/null) ||
            continue
        case ${answer%% *} in
            3.11 | 3.12 | 3.13) python=${answer#* }; return ;;
        esac
        seen="$seen${seen:+, }$name is ${answer%% *}"
    done
    echo "error: Python 3.11 to 3.13 is needed (${seen:-none of $* runs}): install one, or set PYTHON to its path" >&2
    exit 1
}
