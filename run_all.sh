#!/usr/bin/env bash
# Everything from a bare machine to the report: environment, data, training, figures, report. See --help.
set -u
unset CDPATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# NAME trains with NAME.py and is drawn by plot_NAME.py beside it. A new experiment is one more word here.
experiments=(
    hw1_1/function_fit
    hw1_1/mnist_cnn
    hw1_1/cifar10_cnn
    hw1_2/param_pca
    hw1_2/grad_norm
    hw1_2/minimal_ratio
    hw1_2/error_surface
    hw1_3/random_labels
    hw1_3/param_count
    hw1_3/interpolation
    hw1_3/sensitivity
    hw1_3/sharpness
)

# The steps of a run, in order. At quick scale the committed paper histories are drawn too, so that every figure is.
plan() {
    local name
    [[ $train == no || -z ${selected[0]+x} ]] || steps+=("data $scale data")
    for name in ${selected[0]+"${selected[@]}"}; do
        [[ $train == no ]] || steps+=("train $scale $name")
    done
    plan_drawing "$scale" "${selected[@]-}"
    [[ $scale == paper ]] || plan_drawing paper $(committed "${selected[@]-}")
}

plan_drawing() {
    local drawn=$1 name
    shift
    for name in "$@"; do
        [[ -z $name ]] || steps+=("figures $drawn $name")
    done
    [[ $report == no ]] || [[ $drawn != "$scale" && -z $(committed "${experiments[@]}") ]] ||
        steps+=("report $drawn report")
}

# Sets `command`, `log` and `output` of a step (kind, scale, name), all relative to the root but the scripts.
describe() {
    local folder=${3%/*} file=${3##*/} place=out/$2/
    [[ $2 != paper ]] || place=
    log=$logs/$2/$3.log
    case $1 in
        data) command=("$python" -m common.data --scale "$2") output=${HW1_DATA_DIR:-} ;;
        train) command=("$python" "$root/$3.py" --scale "$2") output=$(history_of "$2" "$3") ;;
        figures)
            command=("$python" "$root/$folder/plot_$file.py" --scale "$2") output="${place}figures/$file*"
            log=$logs/$2/$folder/plot_$file.log ;;
        report) command=("$python" "$root/report/build.py" --scale "$2") output=${place}report/hw1.pdf ;;
    esac
    [[ $1 != data && $1 != train ]] || [[ -z ${HW1_DATA_DIR:-} ]] || command+=(--data-dir "$HW1_DATA_DIR")
    [[ $1 == data || $force == no ]] || command+=(--force)
}

history_of() {
    case $1 in
        paper) echo "${2%/*}/history/${2##*/}.pkl" ;;
        *) echo "out/$1/${2%/*}/history/${2##*/}.pkl" ;;
    esac
}

no_history() { [[ $1 == figures && ! -f $(history_of "$2" "$3") ]]; }

committed() {                                   # those of the given experiments
    local name
    for name in "$@"; do
        [[ ! -f $(history_of paper "$name") ]] || echo "$name"
    done
}

title() {
    local committed=
    [[ $2 == "$scale" || $2 != paper ]] || committed=" of the committed run"
    case $1 in
        figures) echo "$3, figures$committed" ;;
        report) echo "report${committed:+${committed}s}" ;;
        *) echo "$3" ;;
    esac
}

usage() {
    cat <<HELP
bash run_all.sh [options]     trains, draws and reports what is not up to date

  --scale quick|paper   quick: minutes on a CPU; paper: the settings of the report (default with an NVIDIA GPU)
  --only NAME           one experiment, one folder or the report; may be repeated. Known:
                        $(known_names)
  --figures-only        draws and reports what was measured, trains nothing
  --force               also what is up to date
  --data-dir DIR        a folder with mnist.npz and cifar10.npz (or set HW1_DATA_DIR)
  --no-venv             uses python3 of the PATH (or \$PYTHON) instead of making .venv
  --check               only says what is up to date; exit 1 if anything is due
  --list                prints one command a line: first the data, then each unit that is to be trained:
                        bash run_all.sh --list | tr '\\n' '\\0' | xargs -0 -n1 -P2 bash -c
  --help
Exit codes: 0 done, 1 a step failed, 2 usage, 130 and 143 stopped. Output of each step: $logs/
HELP
}

known_names() { echo "${experiments[*]} $(printf '%s\n' "${experiments[@]%/*}" | sort -u | tr '\n' ' ')report"; }

usage_error() { fail "$1 (see bash run_all.sh --help)" 2; }

read_options() {
    local name
    while (($#)); do
        name=$1
        case $name in --*=*) shift; set -- "${name%%=*}" "${name#*=}" "$@" ;; esac
        case $1 in
            --scale | --only | --data-dir) [[ -n ${2-} ]] || usage_error "$1 needs a value" ;;
            --figures-only | --force | --no-venv | --check | --list | --help)
                [[ $name == "$1" ]] || usage_error "$1 takes no value" ;;
        esac
        case $1 in
            --scale)
                [[ $2 == quick || $2 == paper ]] || usage_error "unknown scale $2; known: quick, paper"
                [[ -z $scale ]] || usage_error "--scale is given twice"
                scale=$2 why="as asked"; shift ;;
            --only) select_steps "$2"; shift ;;
            --data-dir)
                [[ -z $data_dir ]] || usage_error "--data-dir is given twice"
                data_dir=$2; shift ;;
            --figures-only) train=no ;;
            --force) force=yes ;;
            --no-venv) venv=no ;;
            --check | --list) action=${1#--} ;;
            --help | -h) usage; exit 0 ;;
            *) usage_error "unknown option $1; known: $(echo $(usage | grep -o '^  --[a-z-]*'))" ;;
        esac
        shift
    done
    if [[ -z ${selected[0]+x} && $report == no ]]; then selected=("${experiments[@]}") report=yes; fi
    [[ -n $scale ]] || { has_gpu && scale=paper why="nvidia-smi lists a GPU"; } ||
        scale=quick why="nvidia-smi lists no GPU"
    [[ -z $data_dir ]] || HW1_DATA_DIR=$data_dir
    if [[ -n ${HW1_DATA_DIR:-} ]]; then
        [[ -d $HW1_DATA_DIR ]] || usage_error "the data folder $HW1_DATA_DIR does not exist"
        HW1_DATA_DIR=$(cd "$HW1_DATA_DIR" && pwd)
        export HW1_DATA_DIR
    fi
}

select_steps() {
    local wanted=${1%/} name found=no
    wanted=${wanted%.py}
    if [[ $wanted == report ]]; then report=yes; return; fi
    for name in "${experiments[@]}"; do
        [[ $name == "$wanted" || $name == "$wanted"/* ]] || continue
        found=yes
        [[ " ${selected[*]-} " == *" $name "* ]] || selected+=("$name")
    done
    [[ $found == yes ]] || usage_error "unknown name $1; known: $(known_names)"
}

# Runs the commands of the given steps with --check or --list, several at once: answers in $scratch/STEP.out .err .code
ask() {
    local flag=$1 workers worker
    shift
    workers=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
    for ((worker = 1; worker <= workers; worker++)); do
        for ((at = worker; at <= $#; at += workers)); do
            answer "$flag" "${!at}"
        done &
    done
    wait
}

answer() {
    describe ${steps[$2]}
    ! no_history ${steps[$2]} || command=(bash -c 'echo "due: no history"; exit 1')
    "${command[@]}" "$1" >"$scratch/$2.out" 2>"$scratch/$2.err"
    echo $? >"$scratch/$2.code"
}

# What a step answered to --check, and whether it is up to date.
state_of() {
    local why
    head -n 1 "$scratch/$1.out" | grep . && return
    why=$(tail -n 1 "$scratch/$1.err")
    echo "cannot tell: ${why:-no answer (exit $(cat "$scratch/$1.code"))}"
}
went_well() { [[ $(cat "$scratch/$1.code" 2>/dev/null) == 0 ]]; }
up_to_date() { went_well "$1" && head -n 1 "$scratch/$1.out" | grep -q .; }     # a script that says nothing has not looked

# The numbers of the steps that begin with a kind, or a kind and a scale.
steps_of() {
    local step
    for ((step = 0; step < ${#steps[@]}; step++)); do
        [[ ${steps[step]} != "$1 "* ]] || echo "$step"
    done
}

check() {
    local step due=0 numbers
    numbers=$(steps_of train; steps_of figures; steps_of report)
    run_child ask --check $numbers
    for step in $numbers; do
        say "$(printf '%-50s %s' "$(title ${steps[step]})" "$(state_of "$step")")"
        up_to_date "$step" || due=1
    done
    exit "$due"
}

quoted() { local words; words=$(printf ' %q' "$@"); echo "${words# }"; }

list() {
    local step failed=0
    run_child ask --list $(steps_of train)
    describe data "$scale" data
    say "$(printf 'cd %q && %s' "$root" "$(quoted "${command[@]}")")"
    for step in $(steps_of train); do
        [[ ! -s $scratch/$step.out ]] || say "$(cat "$scratch/$step.out")"
        went_well "$step" || { failed=1; cat "$scratch/$step.err" >&2; }
    done
    exit "$failed"
}

run_step() {
    local step=$1 code command log output first why
    describe ${steps[step]}
    outputs[step]=$output running=$step started=$SECONDS
    if no_history ${steps[step]}; then
        results[step]="not run, no history"
    elif up_to_date "$step"; then
        results[step]="kept, $(state_of "$step" | sed 's/^up to date (\(.*\))/\1/; s/^measured /measured on /')"
        [[ ${steps[step]} != train* ]] || results[step]+="; --force retrains"
    else
        first="\$ $(quoted "${command[@]}")" results[step]="not run, no log"
        [[ ! -t 2 ]] || first+=$'\n(progress and errors went to the terminal)'
        why=$( (mkdir -p "${log%/*}" && echo "$first" >"$log") 2>&1) || { cannot_write "$log: ${why##*: }"; exit 1; }
        results[step]="stopped, see $log"
        say "$(printf '\n== %s' "$(title ${steps[step]})")"
        run_child logged "$log" "${command[@]}"
        code=$?
        results[step]="done"
        ((code == 0)) || results[step]="failed (exit $code), see $log"
    fi
    seconds[step]=$((SECONDS - started)) running=
}

# Said before the first step: without its log a step that fails after hours could not be explained.
require_logs() {
    local step command log output
    for ((step = 0; step < ${#steps[@]}; step++)); do
        describe ${steps[step]}
        { mkdir -p "${log%/*}" && [[ -w ${log%/*} ]] && { [[ ! -e $log ]] || [[ -f $log && -w $log ]]; }; } 2>/dev/null ||
            fail "$root/$log cannot be written: out and out/logs must be folders that you may write in"
    done
}

# Before each kind of steps those that are up to date are found, without TensorFlow, all at once.
run_steps() {
    local step previous=
    for ((step = 0; step < ${#steps[@]}; step++)); do
        if [[ ${steps[step]% *} != "$previous" && $force == no && ${steps[step]} != data* ]]; then
            previous=${steps[step]% *}
            run_child ask --check $(steps_of "$previous")
        fi
        run_step "$step"
    done
}

table() {
    local step width=4 wide=6 result
    for ((step = 0; step < ${#steps[@]}; step++)); do
        titles[step]=$(title ${steps[step]})
        result=${results[step]-not run}
        ((${#titles[step]} <= width)) || width=${#titles[step]}
        ((${#result} <= wide)) || wide=${#result}
    done
    printf "\n%-${width}s  %-${wide}s  %7s  %s\n" step result minutes output
    for ((step = 0; step < ${#steps[@]}; step++)); do
        printf "%-${width}s  %-${wide}s  %7s  %s\n" "${titles[step]}" "${results[step]-not run}" \
            "$(tenths=$(((${seconds[step]-0} + 3) / 6)); echo "$((tenths / 10)).$((tenths % 10))")" "${outputs[step]-}"
    done
}

finish() {
    rm -rf "$scratch"
    [[ -z $running ]] || seconds[running]=$((SECONDS - started))
    [[ $action != run ]] || say "$(table)"
}

source "$root/common/environment.sh"
steps=() selected=() titles=() results=() seconds=() outputs=()
scale="" why="" data_dir="" train=yes report=no force=no action=run running=""
read_options "$@"
unneeded=(pytest pytest-xdist ipykernel ruff)
if [[ $action == run ]]; then prepare_environment "${unneeded[@]}"; else require_environment "${unneeded[@]}"; fi
cd "$root" || exit 1
export PYTHONUNBUFFERED=1
plan
[[ $action != run ]] || require_logs
scratch=$(mktemp -d 2>/dev/null) && echo room 2>/dev/null >"$scratch/room" ||
    { rm -rf "${scratch:-}"; cannot_write "${TMPDIR:-/tmp}: no temporary file can be made there"; exit 1; }
trap finish EXIT
echo "scale $scale: $why" >&2
case $action in
    check) check ;;
    list) list ;;
esac
run_steps
[[ "${results[*]-}" != *"failed (exit"* ]]
