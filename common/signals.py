"""How a script leaves when INT, TERM or HUP come, at whatever moment: one line, 130 or 143, within two seconds.

The handler raises `Told`, so that a write under way removes its temporary file and a terminal gets its cursor back.
That alone would not do: an import or a destructor may swallow what is raised, other code may turn it into an error of
its own, and a long compiled call returns too late. So whatever reaches the top after a signal ends as `leave` does,
and a second after the signal a thread leaves for a script that is still there. What was published is whole.
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

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
PATIENCE = 1.0  # seconds that a script has to leave by itself; run_all.sh kills after 1.5
SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it

_told = 0  # the signal that came, 0 before
_terminal = 2  # where the one line goes, also while file descriptor 2 leads elsewhere
_speaking = threading.Lock()  # held by the one thread that says it


class Told(BaseException):
    """A signal came; not an Exception, so that nothing on the way takes it for an error."""


def prepare() -> None:
    """Handle INT, TERM and HUP from here to the end of the process, those that are ignored excepted."""
    global _terminal
    wanted = [number for number in CODES if signal.getsignal(number) is not signal.SIG_IGN]  # nohup has HUP ignored
    if not wanted or _handle in map(signal.getsignal, wanted):
        return
    with contextlib.suppress(OSError):  # started with stderr closed
        _terminal = os.dup(2)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # written at once, also during a compiled call
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    sys.excepthook, sys.unraisablehook = _uncaught, _swallowed
    for number in wanted:
        signal.signal(number, _handle)


def _handle(number: int, frame: FrameType | None) -> None:
    global _told
    _told = number
    for each in CODES:
        signal.signal(each, signal.SIG_IGN)  # a second signal must not break the leaving
    raise Told


def _watch(reading: int) -> None:
    number = 0
    while number not in CODES:
        number = os.read(reading, 1)[0]
    time.sleep(PATIENCE)
    if _speaking.acquire(blocking=False):
        _say(_words(number), SHOW_CURSOR if os.isatty(_terminal) else b"")
    os._exit(CODES[number])


def leave_if_told() -> None:
    """End the process if a signal came that something has turned into an exit of its own."""
    if _told:
        leave("", 1)


def _uncaught(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    leave_if_told()
    sys.__excepthook__(kind, error, traceback)


def _swallowed(unraisable: Any) -> None:
    leave_if_told()  # a destructor or a callback was running: what it would swallow ends the script
    sys.__unraisablehook__(unraisable)


def leave(message: str, code: int) -> None:
    """End the process now with this line on stderr and this exit code, or with those of a signal that came."""
    for number in CODES:
        signal.signal(number, signal.SIG_IGN)
    _speaking.acquire()
    _say(_words(_told) if _told else message)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(CODES.get(_told, code))  # TensorFlow's threads must not delay the leaving


def _words(number: int) -> str:
    how = "interrupted" if number == signal.SIGINT else "terminated"
    then = "with --force the same command starts again" if "--force" in sys.argv else "the same command carries on"
    return f"{how}; what was finished is kept, and {then}"


def _say(message: str, before: bytes = b"") -> None:
    with contextlib.suppress(OSError, ValueError):
        if message and select.select([], [_terminal], [], 0.2)[1]:  # a reader that has stopped must not hold it up
            os.write(_terminal, before + message.encode(errors="backslashreplace") + b"\n")
