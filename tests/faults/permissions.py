"""Processes that file permissions bind, also where root runs the tests."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest


def ordinary() -> None:
    """Done in a new process: root keeps its name, and gives up every right to override permissions."""
    if os.geteuid() == 0:
        system = ctypes.CDLL(None)
        for capability in range(64):
            system.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: after the next exec nothing of it is left


def count(folder: Path) -> bool:
    """Whether a process started with `ordinary` is kept out of a folder that may not be written, made for it here."""
    closed = folder / "closed"
    closed.mkdir(mode=0o555)
    command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", str(closed / "file")]
    return b"PermissionError" in subprocess.run(command, preexec_fn=ordinary, capture_output=True).stderr


def must_count(folder: Path) -> None:
    """Skip the test where permissions cannot be made to count."""
    if not count(folder):
        pytest.skip("permissions cannot be made to count for this user")
