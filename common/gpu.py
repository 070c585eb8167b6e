"""Whether this machine has an NVIDIA GPU. Standard library only: the driver asks before there is an environment."""

import contextlib
import functools
import os
import signal
import subprocess

LISTED = "nvidia-smi lists a GPU"
SCALE, BY_GPU = "HW1_SCALE", "paper, by the GPU"  # an environment variable for `backend.start`, quick or paper or this
PATIENCE = 10.0  # seconds; a broken driver lets nvidia-smi hang for ever


@functools.cache
def listed() -> tuple[bool, str]:
    """Whether `nvidia-smi -L` lists a GPU, and that in words."""
    command = ["nvidia-smi", "-L"]
    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0, **quiet)
        output, _ = child.communicate(timeout=PATIENCE)
    except OSError:
        return False, "there is no nvidia-smi"
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # and no wait for its end: a process stuck in the driver has none
        return False, f"nvidia-smi gave no answer in {PATIENCE:.0f} seconds, so the NVIDIA driver may be broken"
    if child.returncode == 0 and "GPU" in output:
        return True, LISTED
    return False, "nvidia-smi lists no GPU"
