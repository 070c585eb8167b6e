#!/bin/sh
# ./run_all.sh [options]: from a bare machine to the report; trains, draws and reports what is not up to date.
#   --scale quick|paper   quick: minutes on a CPU; paper: the settings of the report (default with an NVIDIA GPU)
#   --only NAME           one experiment, one folder or the report; may be repeated
#   --figures-only        draws and reports what was measured, trains nothing
#   --force               also what is up to date
#   --data-dir DIR        a folder with MNIST and CIFAR-10, see README (or set HW1_DATA_DIR)
#   --no-venv             uses python3 of the PATH (or $PYTHON) instead of making .venv
#   --check               only says what is up to date; exit 1 if anything is due
#   --list                prints one command a line: first the data, then each unit that is to be trained (makes .venv)
# Exit codes: 0 done, 1 a step failed, 2 usage, 130 and 143 stopped. Output of each step: out/logs/
set -u # in plain POSIX shell, so that `bash`, the old bash of macOS and `sh` all run it
unset CDPATH
root=$(cd "$(dirname "$0")" && pwd -P)

# NAME trains with NAME.py and is drawn by plot_NAME.py beside it. A new experiment is one more word here.
experiments="
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
"

# The steps in their order: a kind, its output, what Python runs. Lines with NAME are done for each experiment. At quick
# scale, the figures and the report of the committed paper histories follow.
steps="
data     -                        -m common.data
train    FOLDER/history/NAME.pkl  FOLDER/NAME.py
figures  figures/NAME*            FOLDER/plot_NAME.py
report   report/hw1.pdf           report/build.py
"

case " $* " in *" --help "* | *" -h "*)
    sed -n '2,/^# Exit/s/^# //p' "$root/run_all.sh"
    echo "Names:" $experiments report
    exit ;;
esac

# The flow. Python 3.11 to 3.13 is all that must be there. driver.py reads the options, has environment.py make .venv,
# finds out what is due (as --check and --list do), and runs that, with logs and a table at the end.
. "$root/common/environment.sh"
find_python "$@"
exec "$python" "$root/common/driver.py" "$experiments" "$steps" "$@"
