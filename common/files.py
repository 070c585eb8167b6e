"""Files that are whole or absent: atomic writes, checksums and locks between processes."""

import contextlib
import fcntl
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

TRAILER = b"\nsha256:"  # a checksum line ends every history and checkpoint
STALE_SECONDS = 3600  # a temporary file this old belongs to a process that was killed


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write `content` so that a reader sees the old file or the new one, never a part; OSError names `path` on failure.

    A temporary file beside it is flushed to disk and renamed over it, and the folder is flushed as well. A function
    in place of bytes is given the temporary file, open for writing and reading, to fill it piece by piece.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_temporaries(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w+b") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk names no file, other errors the temporary one
        raise


def remove_stale_temporaries(path: Path) -> None:
    """Remove what processes left that were killed while they wrote `path`; a young one may be of a process at work."""
    for temporary in temporaries(path):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > STALE_SECONDS:
                temporary.unlink()


def temporaries(path: Path) -> list[Path]:
    """Temporary files of `path`: of a process that writes it now, or that was killed while it did."""
    return list(path.parent.glob(f".{path.name}.*.tmp"))


def remove(path: Path) -> None:
    """Remove `path` and its temporary files; for the process that alone may write it."""
    for each in (path, *temporaries(path)):
        each.unlink(missing_ok=True)


def read_regular(path: Path, largest: int) -> bytes:
    """The content of a regular file of at most `largest` bytes; ValueError for any other, OSError as usual."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not block
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise ValueError("it is not a regular file")
    with open(descriptor, "rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has {about.st_size / 1e6:.1f} MB, more than {largest / 1e6:.0f}")
    return content


def with_checksum(content: bytes) -> bytes:
    """`content` followed by a line that holds its SHA-256."""
    return content + TRAILER + hashlib.sha256(content).hexdigest().encode() + b"\n"


def sha256(path: Path) -> str:
    """SHA-256 of a file (its first 64 MB: nothing larger is of use here), in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(1 << 26)).hexdigest()


def checked(content: bytes) -> bytes:
    """What `with_checksum` was given; ValueError where the checksum is missing or wrong."""
    length = len(TRAILER) + 64 + 1
    body, line = content[:-length], content[-length:]
    if not line.startswith(TRAILER) or not line.endswith(b"\n"):
        raise ValueError("it has no checksum line at its end")
    if line[len(TRAILER) : -1] != hashlib.sha256(body).hexdigest().encode():
        raise ValueError("its checksum does not match: it was damaged or altered")
    return body


@contextlib.contextmanager
def locked(path: Path, waiting: str = "", patient: bool = True) -> Iterator[bool]:
    """Hold the lock that belongs to `path`; the kernel releases it when a process ends, however it ends.

    Yields whether it is held: where another process holds it there is no wait without patience, else `waiting` is said
    on stderr.
    """
    place = path.with_name(f".{path.name}.lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)  # waits for no FIFO, empties no file
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not patient:
                yield False
                return
            if waiting:
                print(waiting, file=sys.stderr)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield True
    finally:
        os.close(descriptor)
