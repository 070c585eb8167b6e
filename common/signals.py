"""How a script ends when a signal comes, whatever it does at that moment: one line, 130 or 143, within two seconds.

The handler raises `Signalled`, so that a write under way removes its temporary file and a terminal gets its cursor
back. That alone is not enough: an import or a destructor may swallow what is raised, other code may turn it into an
error of its own, and a long compiled call returns too late. So whatever reaches the top after a signal ends as `leave`
does, and a second after the signal a thread ends a script that is still running. What was published is whole.

All this is for a process that was started for the script. In a notebook, a debugger or a test, the process belongs to
somebody else: nothing is installed there, and `leave` raises SystemExit.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

NAMES = ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "IO", "PWR", "STKFLT")
ENDING = [number for name in NAMES if (number := getattr(signal, f"SIG{name}", None))]  # signals that end a process
PATIENCE = 1.0  # seconds that a script has to leave by itself; run_all.sh kills after 1.5
MEANINGS = {  # of exit codes that only the one who started a script can explain
    132: "this CPU lacks an instruction (SIGILL): TensorFlow needs a CPU with AVX",
    134: "a library gave up (SIGABRT), as TensorFlow does on a CPU without AVX: see the end of the log",
    137: "killed (SIGKILL), as the system does when memory runs out: end other programs or take a larger machine",
    139: "native code crashed (SIGSEGV)",
}
SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it
PASSED_OVER = ("common", "contextlib", "importlib", "runpy")  # modules between the interpreter and a script's own lines

prepared = False  # whether signals are handled here
_signal = 0  # the signal that came, 0 before
_terminal = 2  # where the one line goes, also while file descriptor 2 leads elsewhere
_speaking = threading.Lock()  # held by the one thread that writes the line


class Signalled(BaseException):
    """A signal came; not an Exception, so that nothing on the way takes it for an error."""


def prepare() -> None:
    """Handle signals that would end the process, from here to its end; those that are ignored stay so (`nohup`).

    Does nothing where the process was not started for the script that calls this.
    """
    global prepared, _terminal
    if prepared or not _is_own_process():
        return
    prepared = True
    with contextlib.suppress(OSError):  # started with stderr closed
        _terminal = os.dup(2)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # written at once, also during a compiled call
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    sys.excepthook, sys.unraisablehook = _uncaught, _swallowed
    for number in ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _handle)


def _is_own_process() -> bool:
    """Whether Python was started for the file that is running: nothing but that file stands on the stack."""
    if sys.flags.inspect or sys.flags.interactive:  # python -i: a prompt follows
        return False
    lines, frame = [], sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in PASSED_OVER:
            lines.append(frame.f_code.co_name)
        frame = frame.f_back
    return lines in ([], ["<module>"])  # none: python -m common.data imports `common` before that file runs


def _handle(number: int, frame: FrameType | None) -> None:
    global _signal
    _signal = number
    _ignore_further()
    raise Signalled


def _ignore_further() -> None:
    """A second signal must not break the leaving."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _watch(reading: int) -> None:
    number = 0
    while number not in ENDING:
        number = os.read(reading, 1)[0]
    time.sleep(PATIENCE)
    if _speaking.acquire(blocking=False):
        _say(words(number), SHOW_CURSOR if os.isatty(_terminal) else b"")
    os._exit(_code(number))


def leave_if_signalled() -> None:
    """End the process if a signal came that something has turned into an exit of its own."""
    if _signal:
        leave("", 1)


def _uncaught(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    leave_if_signalled()
    sys.__excepthook__(kind, error, traceback)


def _swallowed(unraisable: Any) -> None:
    leave_if_signalled()  # a destructor or a callback was running: what it would swallow ends the script
    sys.__unraisablehook__(unraisable)


def leave(message: str, code: int) -> None:
    """End the script with this line on stderr and this exit code, or with those of a signal that came."""
    if not prepared:
        if message:
            print(message, file=sys.stderr)
        raise SystemExit(code)
    _ignore_further()
    _speaking.acquire()
    _say(words(_signal) if _signal else message)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(_code(_signal) if _signal else code)  # TensorFlow's threads must not delay the leaving


def _code(number: int) -> int:
    return 130 if number == signal.SIGINT else 143


def words(number: int) -> str:
    """The line with which a signal ends a script."""
    how = "interrupted" if number == signal.SIGINT else "terminated"
    if number not in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        how += f" by {signal.Signals(number).name}"
    then = "with --force the same command starts again" if "--force" in sys.argv else "the same command carries on"
    return f"{how}; what was finished is kept, and {then}"


def _say(message: str, before: bytes = b"") -> None:
    with contextlib.suppress(OSError, ValueError):
        if message and select.select([], [_terminal], [], 0.2)[1]:  # a reader that has stopped must not hold it up
            os.write(_terminal, before + message.encode(errors="backslashreplace") + b"\n")
