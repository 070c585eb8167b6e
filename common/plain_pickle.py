"""Plain data in a pickle with a checksum: written so that `pickle.load` reads it, read so that no code can run.

Plain data are built-in dicts with text keys, lists, strings, numbers, booleans and None. Reading checks, in
this order: a regular file, its size, its checksum, the opcodes, and what they built.
"""

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any

from common import files

import numpy as np

PROTOCOL = 4
MEGABYTE = 1_000_000
LARGEST_READ = 16 * MEGABYTE
MOST_CONTAINERS = 100_000  # 16 MB of empty lists would take a gigabyte of memory
MOST_OPCODES = 5_000_000  # a file of 5 MB has no more; 16 million would take half a minute
DEEPEST = 16
LARGEST_INTEGER = 2**63  # exclusive, either sign
OPCODES = frozenset(("FRAME", "MARK", "MEMOIZE", "BINGET", "LONG_BINGET"))  # structure
OPCODES |= {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
OPCODES |= {"SHORT_BINUNICODE", "BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "SETITEM", "SETITEMS", "APPEND", "APPENDS"}
SIZES = {ord(each.code): each.arg.n if each.arg else 0 for each in pickletools.opcodes if each.name in OPCODES}
PROTO, STOP = 0x80, ord(".")  # the beginning and the end
WIDTHS = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4U: 4}  # bytes of a length
CONTAINERS = (ord("}"), ord("]"))


def plain(value: Any) -> Any:
    """NumPy arrays and scalars and tuples as the built-in types that a history may hold; TypeError on others."""
    if isinstance(value, dict):
        return {plain(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()  # the name of a file may hold what is no Unicode
    if value is None or type(value) in (bool, int, float):
        return value
    raise TypeError(f"a history cannot hold a {type(value).__name__}")


def dumps(value: Any) -> bytes:
    """The file's bytes for plain data (as `plain` returns them); ValueError where `loads` would refuse them."""
    check(value)
    return files.with_checksum(pickle.dumps(value, protocol=PROTOCOL))


def read(path: Path) -> Any:
    """The plain data in the file `path`; OSError, or a ValueError that says what is wrong with it."""
    return loads(files.read_regular(path, LARGEST_READ))


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
    """ValueError unless the pickle is of protocol 4, builds plain data, and ends where the bytes end.

    Not `pickletools.genops`, which parses the arguments of any opcode, and takes five times as long.
    """
    if body[:2] != bytes((PROTO, PROTOCOL)):
        raise ValueError(f"it is not a pickle of protocol {PROTOCOL}")
    position, count, containers, length = 2, 0, 0, len(body)
    while position < length:
        code = body[position]
        size = SIZES.get(code)
        if size is None:
            if code == STOP:
                break
            named = pickletools.code2op.get(chr(code))
            raise ValueError(f"it holds more than plain data (pickle opcode {named.name if named else code})")
        if size < 0:  # its own length stands before the content
            width = WIDTHS[size]
            size = width + int.from_bytes(body[position + 1 : position + 1 + width], "little")
        position += 1 + size
        count += 1
        if code in CONTAINERS:
            containers += 1
            if containers > MOST_CONTAINERS:
                raise ValueError("it holds too many lists")
        if count > MOST_OPCODES:
            raise ValueError("it holds too many values")
    if position != len(body) - 1:
        raise ValueError("there are bytes after its end" if position < len(body) else "its end is missing")


class _PlainUnpickler(pickle.Unpickler):
    """Builds nothing but plain data: a second fence behind the pass over the opcodes."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError("it names code to run")

    def persistent_load(self, identifier: Any) -> Any:
        raise ValueError("it refers to objects outside itself")


def check(loaded: Any) -> None:
    """ValueError unless these are plain data that are safe to walk and to show.

    No container occurs twice (so there is no cycle), none lies deeper than DEEPEST, the lists in a list are of
    one length, numbers fit into 64 bits, there are no more containers than a file may have, and all texts together are
    no longer than the largest file.
    """
    seen: set[int] = set()
    characters = 0
    waiting = [([loaded], 0)]  # containers only: one entry a number would take more memory than the numbers
    while waiting:
        container, depth = waiting.pop()
        if isinstance(container, dict):
            if not all(isinstance(key, str) for key in container):
                raise ValueError("a name in it is not a text")
            characters += sum(map(_check_single, container))
            items = container.values()
        else:
            if len({len(item) for item in container if isinstance(item, list)}) > 1:
                raise ValueError("rows of one of its tables differ in length")
            items = container
        for item in items:
            if isinstance(item, (dict, list)):
                if id(item) in seen or depth > DEEPEST:
                    raise ValueError("its data are nested too deeply or share parts")
                seen.add(id(item))
                if len(seen) > MOST_CONTAINERS:
                    raise ValueError("it holds too many lists")
                waiting.append((item, depth + 1))
            else:
                characters += _check_single(item)
            if characters > LARGEST_READ:  # within the loop: a list may hold one long text a million times
                raise ValueError("its texts are too long")


def _check_single(value: Any) -> int:
    """Length of a text, 0 for anything else; ValueError for what is neither a text, a number, a boolean nor None."""
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # a ValueError where it is no Unicode, which neither JSON nor a terminal takes
        return len(value)
    if isinstance(value, int):
        if not -LARGEST_INTEGER < value < LARGEST_INTEGER:
            raise ValueError("a number in it is too large")
    elif value is not None and not isinstance(value, float):
        raise ValueError(f"it holds a {type(value).__name__}")
    return 0


def is_number(value: Any) -> bool:
    """Whether `value` is an int or a finite float, and no boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
