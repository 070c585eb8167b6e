"""Files that are whole or absent: atomic writes, checksums and locks between processes."""

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

TRAILER = b"\nsha256:"  # a checksum line ends every history and checkpoint
STALE_SECONDS = 3600  # a temporary file this old belongs to a process that was killed


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write `content` so that a reader sees the old file or the new one, never a part (OSError on failure).

    A temporary file beside it is flushed to disk and renamed over it, and the folder is flushed as well. A function
    in place of bytes is given the temporary file, open for writing and reading, to fill it piece by piece.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale_temporaries(path)
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
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove_stale_temporaries(path: Path) -> None:
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > STALE_SECONDS:
                temporary.unlink()


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


def add_checksum(file: BinaryIO) -> None:
    """Add to a file, open for writing and reading, the line that `with_checksum` adds to bytes."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0, os.SEEK_END)
    file.write(TRAILER + digest.encode() + b"\n")


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
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that belongs to `path`; the kernel releases it when a process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
