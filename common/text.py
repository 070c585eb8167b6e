"""Text from anywhere, made safe and short enough for a terminal."""


def clipped(text: str, length: int) -> str:
    """`text`, or its beginning where it is longer than `length`."""
    return text if len(text) <= length else text[:length] + " ..."


def printable(text: str) -> str:
    """`text` with control characters spelled out, so that a terminal shows them and obeys none."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
