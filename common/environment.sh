# The Python environment of run_all.sh, tests/run.sh and .ci/run, which source this file after setting `root`.
#
#     prepare_environment [names]   makes or renews .venv, or checks the present environment where venv=no;
#                                   `names` are distributions that the caller can do without; sets `python`
#     require_environment [names]   the same without changing anything: says what is missing and exits 1
#     run_child COMMAND...          runs a command that a signal to this shell stops, with all of its children
#     run_child logged FILE COMMAND...    the same with the output also in a file

venv=yes                                # "no": use the Python that is there
gpu=                                    # "yes" or "no" once asked
lock="$root/out/environment.lock"       # one process at a time makes .venv
lock_held=
busy=                                   # "yes" while run_child waits
stamp=.venv/requirements.stamp          # written last, so that a .venv without it is half made
logs=out/logs

fail() { release_lock; printf 'error: %s\n' "$1" >&2; exit "${2:-1}"; }

# Says why, from a program's own words such as "mkdir: FILE: Permission denied", and what to do about it.
cannot_write() { printf 'error: %s; free some disk space, or check the permissions of the folder\n' "$1" >&2; }

# Results to stdout; a full disk there is an error as well.
say() {
    printf '%s\n' "$1" 2>/dev/null && return
    exec >/dev/null                             # what follows is not tried, or there were a message for each
    cannot_write "standard output cannot be written"
    exit 1
}

has_gpu() {
    [[ -n $gpu ]] || case "$(nvidia-smi -L 2>/dev/null)" in GPU*) gpu=yes ;; *) gpu=no ;; esac
    [[ $gpu == yes ]]
}

# A process group of its own, because one TERM must reach everything the command started. TERM and not INT: a command
# that a script puts in the background may have been told to ignore INT.
run_child() {
    local code
    busy=yes
    set -m
    ("$@") </dev/null &
    set +m
    wait "$!"
    code=$?
    busy=
    return "$code"
}

stop_child() {
    local group=${!-} tenths=0
    [[ -n $busy && -n $group ]] || return 0
    kill -TERM -- "-$group" 2>/dev/null
    while ((tenths < 15)) && kill -0 -- "-$group" 2>/dev/null; do   # any of them: the first may be gone already
        sleep 0.1
        tenths=$((tenths + 1))
    done
    kill -KILL -- "-$group" 2>/dev/null     # what is finished was published already, so nothing is lost
    wait "$group" 2>/dev/null
}

stop() {
    trap '' INT TERM HUP
    set +m                                      # or bash itself may say "Terminated"
    stop_child
    release_lock
    exit "$1"
}

# The command's own exit code, its output on the terminal and in the log. A progress bar needs the terminal itself.
# A signal to the whole group, as stop_child or a batch system sends it, must leave time to the last lines.
logged() {
    local log=$1 codes
    shift
    trap : INT TERM HUP
    exec 3>&2 2>/dev/null                        # or bash itself would say "Terminated"
    if [[ -t 3 ]]; then "$@" 2>&3 3>&- | keep "$log"; else "$@" 2>&1 3>&- | keep "$log"; fi
    codes=("${PIPESTATUS[@]}")
    ((codes[0])) || exit "${codes[1]}"
    exit "${codes[0]}"
}

# Where the terminal or the log takes no more, the other still gets all, and one message says so.
keep() (
    trap '' INT TERM HUP
    why=$(tee -a "$1" 2>&1 >&4 3>&-) && exit
    code=$? why=${why%%$'\n'*}
    [[ -z $why ]] || cannot_write "${why#tee: }" 2>&3
    exit "$code"
) 4>&1

# The first of $PYTHON, or of the given names, that runs and is in range: sets `python` to its own full path.
find_python() {
    local name answer seen=
    [[ -z ${PYTHON-} ]] || set -- "$PYTHON"
    for name in "$@"; do
        answer=$("$name" -c 'import sys; print("%d.%d %s" % (sys.version_info[:2] + (sys.executable,)))' 2>/dev/null) ||
            continue
        case ${answer%% *} in
            3.11 | 3.12 | 3.13) python=${answer#* }; return ;;
        esac
        seen="$seen${seen:+, }$name is ${answer%% *}"
    done
    fail "Python 3.11 to 3.13 is needed (${seen:-none of $* runs}): install one, or set PYTHON to its path"
}

# Prints ready, outdated (same place, other requirements) or broken (missing, half made, moved, out of range).
venv_state() {
    "$root/.venv/bin/python" -I -c "$stamp_code" "$root" state "$gpu" "$stamp" 2>/dev/null || echo broken
}
stamp_code='
import hashlib, os, sys
root, action, gpu, stamp = sys.argv[1:]
path = os.path.join(root, stamp)
requirements = open(os.path.join(root, "requirements.txt"), "rb").read()
wanted = "%s %s" % (hashlib.sha256(requirements).hexdigest(), sys.version.split()[0])
extra = "and-cuda" if gpu == "yes" else "plain"
if action == "write":
    with open(path, "w") as file:
        file.write("%s %s\n" % (wanted, extra))
elif not os.path.samefile(sys.prefix, os.path.join(root, ".venv")) or not (3, 11) <= sys.version_info[:2] <= (3, 13):
    print("broken")
elif not os.path.exists(path):    # half made by us, or the user made it and it only lacks the packages
    print("broken" if os.path.exists(os.path.join(root, "out", "environment.begun")) else "outdated")
else:    # an environment with CUDA also serves a machine without a GPU, which may share the folder
    found = open(path).read().strip()
    print("ready" if found in (wanted + " " + extra, wanted + " and-cuda") else "outdated")
'

take_lock() {
    local holder why waited=0 told=
    why=$(mkdir -p "$root/out" 2>&1) || { cannot_write "$root/out: ${why##*: }"; exit 1; }
    until why=$(LC_ALL=C mkdir "$lock" 2>&1); do
        [[ $why == *"File exists"* ]] || { cannot_write "$lock: ${why##*: }"; exit 1; }
        holder=$(cat "$lock/holder" 2>/dev/null)
        waited=$((waited + 1))
        # Stale: its process is gone, or it never got as far as naming one. The inner folder lets one waiter take over.
        if { [[ -n $holder && ${holder%% *} == "$HOSTNAME" ]] && ! kill -0 "${holder##* }" 2>/dev/null; } ||
            { [[ -z $holder ]] && ((waited > 10)); }; then
            if mkdir "$lock/taken" 2>/dev/null; then
                [[ "$(cat "$lock/holder" 2>/dev/null)" != "$holder" ]] || break
                rmdir "$lock/taken"
            fi
        elif [[ -z $told && -n $holder ]]; then
            told=yes
            echo "waiting: process ${holder##* } on ${holder%% *} makes .venv (none such? remove $lock)" >&2
        fi
        sleep 1
    done
    lock_held=yes
    why=$( (echo "$HOSTNAME $$" >"$lock/holder") 2>&1) ||
        { cannot_write "$lock/holder: ${why##*: }"; release_lock; exit 1; }
    rmdir "$lock/taken" 2>/dev/null
    return 0
}

release_lock() {
    [[ -z $lock_held ]] || rm -rf "$lock"
    lock_held=
}

into_log() { local log=$1; shift; exec "$@" >>"$log" 2>&1; }

# Runs a part of the installation; its output goes to a log, of which a failure shows the end and the remedy given.
install_step() {
    local remedy=$1 log="$root/$logs/environment.log"
    shift
    run_child into_log "$log" "$@" && return
    tail -n 15 "$log" >&2
    fail "the Python environment could not be made ($logs/environment.log): $remedy"
}

make_venv() {
    local state=$1 tool=pip extra=()
    uv --version >/dev/null 2>&1 && tool=uv
    mkdir -p "$root/$logs" && : >"$root/$logs/environment.log"
    : >"$root/out/environment.begun"        # until the stamp is written, .venv is half made
    [[ $tool == uv ]] || "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1 || state=broken
    if [[ $state == broken ]]; then
        find_python python3.13 python3.12 python3.11 python3 python
        rm -rf "$root/.venv"
        if [[ $tool == uv ]]; then
            install_step "see the lines above" uv venv --python "$python" "$root/.venv"
        else
            install_step "on Debian and Ubuntu install python3-venv, or put uv on the PATH" \
                "$python" -m venv "$root/.venv"
        fi
    fi
    rm -f "$root/$stamp"
    python="$root/.venv/bin/python"
    if has_gpu; then extra=("$(sed -n 's/^tensorflow\([<>=]\)/tensorflow[and-cuda]\1/p' "$root/requirements.txt")"); fi
    echo "installing requirements.txt${extra[0]+ with CUDA} into .venv by $tool, minutes: $logs/environment.log" >&2
    if [[ $tool == uv ]]; then
        install_step "is the network there? then run again" \
            uv pip install --python "$python" -r "$root/requirements.txt" ${extra[0]+"${extra[0]}"}
    else
        install_step "is the network there? then run again" env PIP_USER=0 \
            "$python" -m pip install --disable-pip-version-check -r "$root/requirements.txt" ${extra[0]+"${extra[0]}"}
    fi
    "$python" -I -c "$stamp_code" "$root" write "$gpu" "$stamp" 2>/dev/null ||
        { cannot_write "$root/$stamp cannot be written"; release_lock; exit 1; }
    rm -f "$root/out/environment.begun"
}

# Which required distributions the present environment lacks (an error), or has in another version (a note).
use_present_python() {
    find_python python3 python
    "$python" - "$python" "$root/requirements.txt" "$@" <<'PYTHON' || exit 1
import importlib.metadata
import re
import shlex
import sys

program, requirements, *unneeded = sys.argv[1:]
missing = []
for line in open(requirements, encoding="utf-8"):
    wanted = line.partition("#")[0].strip()
    name = re.match(r"[\w.-]*", wanted)[0]
    if not name or name in unneeded:
        continue
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        missing.append(wanted)
        continue
    try:
        from packaging.requirements import Requirement
    except ImportError:
        continue
    if not Requirement(wanted).specifier.contains(version, prereleases=True):
        print(f"note: {name} {version} is here, {wanted} is asked for: numbers or figures may differ", file=sys.stderr)
if missing:
    names = ", ".join(re.match(r"[\w.-]*", wanted)[0] for wanted in missing)
    install = shlex.join([program, "-m", "pip", "install", *missing])
    sys.exit(f"error: this Python environment lacks {names}: {install}")
PYTHON
}

# A path or user folder of another Python must not reach into .venv.
enter_venv() {
    unset PYTHONPATH PYTHONHOME
    python="$root/.venv/bin/python"
}

prepare_environment() {
    if [[ $venv == no ]]; then use_present_python "$@"; return; fi
    has_gpu
    if [[ $(venv_state) != ready ]]; then
        take_lock
        local state
        state=$(venv_state)
        [[ $state == ready ]] || make_venv "$state"
        release_lock
    fi
    enter_venv
}

require_environment() {
    if [[ $venv == no ]]; then use_present_python "$@"; return; fi
    has_gpu
    [[ $(venv_state) == ready ]] ||
        fail "there is no .venv that fits requirements.txt: \`bash run_all.sh\` makes it (or use --no-venv)"
    enter_venv
}

trap 'stop 130' INT                      # here, because `stop` needs what is defined above
trap 'stop 143' TERM HUP
