"""Child processes that end when this one does. Standard library only, since it runs before there is an environment."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable

from common import signals


def handle_signals() -> None:
    """Raise SystemExit at signals that would end this process, so that `run` ends its child first."""

    def stop(number: int, frame: object) -> None:
        for each in signals.ENDING:
            signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
        raise SystemExit(130 if number == signal.SIGINT else 143)

    for number in signals.ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, stop)


def run(command: list[str], sink: Callable[[bytes], object], stderr: int | None = subprocess.STDOUT) -> int:
    """Run a command in its own process group and pass its output to `sink`, piece by piece, as it comes.

    stderr: None leaves it on the terminal, which progress bars need. Returns the exit code, or 128 + n after signal n.
    Where a signal ends this process, the group gets SIGTERM, then SIGKILL.
    """
    block, admit = (signal.SIG_BLOCK, signals.ENDING), (signal.SIG_UNBLOCK, signals.ENDING)
    more = {"stdin": subprocess.DEVNULL, "preexec_fn": lambda: signal.pthread_sigmask(*admit), "bufsize": 0}
    signal.pthread_sigmask(*block)  # except while waiting: else a signal could lose a child or a piece of output
    child = subprocess.Popen(command, process_group=0, stdout=subprocess.PIPE, stderr=stderr, **more)
    try:
        piece = b"any"  # empty at the end of the output
        while piece:
            signal.pthread_sigmask(*admit)
            select.select([child.stdout], [], [])
            signal.pthread_sigmask(*block)
            piece = child.stdout.read(65536)
            sink(piece)
        signal.pthread_sigmask(*admit)
        return child.wait() if child.wait() >= 0 else 128 - child.returncode
    except SystemExit:
        os.set_blocking(child.stdout.fileno(), False)
        last = time.monotonic() + 1.5  # our scripts need one second at most (common/signals.py)
        with contextlib.suppress(ProcessLookupError):  # the group has ended
            os.killpg(child.pid, signal.SIGTERM)
            while time.monotonic() < last:
                time.sleep(0.02)
                sink(child.stdout.read(65536) or b"")
                child.poll()
                os.killpg(child.pid, 0)
            os.killpg(child.pid, signal.SIGKILL)  # results are published when they are finished, so none is lost
        child.wait()
        sink(child.stdout.read() or b"")
        raise
