"""Plain data in a pickle with a checksum: written so that `pickle.load` reads it, read so that no code can run.

Plain data are built-in dicts with text keys, lists, strings, numbers, booleans and None. Reading checks, in
this order: a regular file, its size, its checksum, the opcodes, and what they built.
"""

import io
import math
import os
import pickle
import pickletools
import stat
from pathlib import Path
from typing import Any

import numpy as np

from common import files

PROTOCOL = 4
MEGABYTE = 1_000_000
LARGEST_READ = 16 * MEGABYTE
MOST_CONTAINERS = 100_000  # 16 MB of empty lists would take a gigabyte of memory
DEEPEST = 16
LARGEST_INTEGER = 2**63  # exclusive, either sign
OPCODES = frozenset(("PROTO", "FRAME", "MARK", "STOP", "MEMOIZE", "BINGET", "LONG_BINGET"))  # structure
OPCODES |= {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
OPCODES |= {"SHORT_BINUNICODE", "BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "SETITEM", "SETITEMS", "APPEND", "APPENDS"}


def plain(value: Any) -> Any:
    """NumPy arrays and scalars and tuples as the built-in types that a history may hold; TypeError on others."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if value is None or type(value) in (str, bool, int, float):
        return value
    raise TypeError(f"a history cannot hold a {type(value).__name__}")


def dumps(value: Any) -> bytes:
    """The file's bytes for plain data (as `plain` returns them); ValueError where `loads` would refuse them."""
    check(value)
    return files.with_checksum(pickle.dumps(value, protocol=PROTOCOL))


def read(path: Path) -> Any:
    """The plain data in the file `path`; OSError, or a ValueError that says what is wrong with it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not block
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise ValueError("it is not a regular file")
    with open(descriptor, "rb") as file:
        content = file.read(LARGEST_READ + 1)
    if len(content) > LARGEST_READ:
        raise ValueError(f"it has {about.st_size / MEGABYTE:.1f} MB, more than {LARGEST_READ // MEGABYTE}")
    return loads(content)


def loads(content: bytes) -> Any:
    """The plain data that `dumps` made these bytes of; ValueError says what is wrong with them."""
    body = files.checked(content)
    try:
        _check_opcodes(body)
        loaded = _PlainUnpickler(io.BytesIO(body)).load()
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is not a pickle of plain data ({error})") from None
    check(loaded)
    return loaded


def _check_opcodes(body: bytes) -> None:
    """ValueError unless the pickle is of protocol 4, builds plain data, and ends where the bytes end."""
    containers, end = 0, None
    for opcode, argument, position in pickletools.genops(body):
        if opcode.name not in OPCODES:
            raise ValueError(f"it holds more than plain data (pickle opcode {opcode.name})")
        if (opcode.name == "PROTO") != (position == 0) or (opcode.name == "PROTO" and argument != PROTOCOL):
            raise ValueError(f"it is not a pickle of protocol {PROTOCOL}")
        containers += opcode.name in ("EMPTY_DICT", "EMPTY_LIST")
        if containers > MOST_CONTAINERS:
            raise ValueError("it holds too many lists")
        end = position
    if end != len(body) - 1:
        raise ValueError("there are bytes after its end")


class _PlainUnpickler(pickle.Unpickler):
    """Builds nothing but plain data: a second fence behind the pass over the opcodes."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError("it names code to run")

    def persistent_load(self, identifier: Any) -> Any:
        raise ValueError("it refers to objects outside itself")


def check(loaded: Any) -> None:
    """ValueError unless these are plain data that are safe to walk and to show.

    No container occurs twice (so there is no cycle), none lies deeper than DEEPEST, all lists of lists are
    rectangular, numbers fit into 64 bits, and all texts together are no longer than the largest file.
    """
    seen: set[int] = set()
    characters = 0
    waiting = [(loaded, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, int):
            if not -LARGEST_INTEGER < value < LARGEST_INTEGER:
                raise ValueError("a number in it is too large")
        elif isinstance(value, (dict, list)):
            if id(value) in seen or depth > DEEPEST:
                raise ValueError("its data are nested too deeply or share parts")
            seen.add(id(value))
            if isinstance(value, dict):
                if not all(isinstance(key, str) for key in value):
                    raise ValueError("a name in it is not a text")
                characters += sum(map(len, value))
                waiting.extend((item, depth + 1) for item in value.values())
            else:
                if len({len(item) for item in value if isinstance(item, list)}) > 1:
                    raise ValueError("rows of one of its tables differ in length")
                waiting.extend((item, depth + 1) for item in value)
        elif value is not None and not isinstance(value, float):
            raise ValueError(f"it holds a {type(value).__name__}")
        if characters > LARGEST_READ:
            raise ValueError("its texts are too long")


def is_number(value: Any) -> bool:
    """Whether `value` is an int or a finite float, and no boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def printable(text: str) -> str:
    """`text` with control characters spelled out, so that a terminal shows them and obeys none."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
