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
LARGEST = 5 * MEGABYTE
MOST_CONTAINERS = 100_000  # a file of empty lists would take a hundred times its length in memory
DEEPEST = 16
LARGEST_INTEGER = 2**63  # exclusive, either sign
OPCODES = frozenset(("FRAME", "MARK", "MEMOIZE", "BINGET", "LONG_BINGET"))  # structure
OPCODES |= {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
OPCODES |= {"SHORT_BINUNICODE", "BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "SETITEM", "SETITEMS", "APPEND", "APPENDS"}
SIZES = {ord(each.code): each.arg.n if each.arg else 0 for each in pickletools.opcodes if each.name in OPCODES}
PROTO, STOP = 0x80, ord(".")  # the beginning and the end
WIDTHS = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4U: 4}  # bytes of a length
CONTAINERS = (ord("}"), ord("]"))


def plain(value: Any, where: tuple[str, ...] = ()) -> Any:
    """NumPy arrays and scalars and tuples as the built-in types that a history may hold; TypeError on others.

    where: names of the dicts' entries around the value, for the message.
    """
    if isinstance(value, dict):
        return {plain(str(name)): plain(item, (*where, str(name))) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, where) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist(), where)
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()  # the name of a file may hold what is no Unicode
    if value is None or type(value) in (bool, int, float):
        return value
    raise TypeError(f"'{'/'.join(where)}' holds a {type(value).__name__}, which a history cannot")


def dumps(value: Any) -> bytes:
    """The file's bytes for plain data (as `plain` returns them); ValueError where `read` would refuse them."""
    content = files.with_checksum(pickle.dumps(value, protocol=PROTOCOL))
    if len(content) > LARGEST:
        raise ValueError(f"the history would take {len(content) / MEGABYTE:.1f} MB: record fewer points")
    loads(content)
    return content


def read(path: Path) -> Any:
    """The plain data in the file `path`; OSError, or a ValueError that says what is wrong with it."""
    return loads(files.read_regular(path, LARGEST))


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
    position, containers, length = 2, 0, len(body)
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
        containers += code in CONTAINERS
        if containers > MOST_CONTAINERS:
            raise ValueError("it holds too many lists")
    if position != len(body) - 1:
        raise ValueError("there are bytes after its end" if position < len(body) else "its end is missing")


class _PlainUnpickler(pickle.Unpickler):
    """Builds nothing but plain data: a second fence behind the pass over the opcodes."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError("it names code to run")


def check(loaded: Any) -> None:
    """ValueError unless these are plain data that are safe to walk and to show.

    No container occurs twice (so there is no cycle), none lies deeper than DEEPEST, the lists in a list are of
    one length, numbers fit into 64 bits, and all texts together are no longer than the largest file.
    """
    seen: set[int] = set()
    characters = 0

    def walk(value: Any, where: tuple[str, ...], depth: int) -> None:
        nonlocal characters
        if isinstance(value, (dict, list)):
            if id(value) in seen or depth > DEEPEST:
                refuse(where, "is nested too deeply or shares parts")
            seen.add(id(value))
        if isinstance(value, dict):
            for name, item in value.items():
                if not isinstance(name, str):
                    refuse(where, "has a name that is not a text")
                walk(name, where, depth)
                walk(item, (*where, name), depth + 1)
        elif isinstance(value, list):
            if len({len(item) for item in value if isinstance(item, list)}) > 1:
                refuse(where, "has rows that differ in length")
            for item in value:
                if type(item) is not float:  # most are, and spare a call
                    walk(item, where, depth + 1)
        elif isinstance(value, str):
            value.encode()  # a ValueError where it is no Unicode, which neither JSON nor a terminal takes
            characters += len(value)
            if characters > LARGEST:
                refuse(where, "has too long texts")
        elif isinstance(value, int):
            if not -LARGEST_INTEGER < value < LARGEST_INTEGER:
                refuse(where, "has too large a number")
        elif value is not None and not isinstance(value, float):
            refuse(where, f"has a {type(value).__name__}")

    def refuse(where: tuple[str, ...], why: str) -> None:
        raise ValueError(f"'{'/'.join(where)}' {why}")

    walk(loaded, (), 0)


def is_number(value: Any) -> bool:
    """Whether `value` is an int or a finite float, and no boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
