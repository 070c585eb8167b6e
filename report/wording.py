"""How the report writes numbers, lists and verdicts, in its tables and in its sentences."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from report import claims

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"  # in a cell without a value
DIVERGED = "diverged"
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
PERCENT = "\N{NO-BREAK SPACE}%"
LONGEST_TEXT = 400
SMALLEST, LARGEST = 1e-4, 1e6  # what lies beyond is written as a multiple of a power of ten

SHORT_WORDS = {claims.HOLDS: "yes", claims.FAILS: "no", claims.UNCLEAR: "unclear"}
VERBS = {claims.HOLDS: "holds", claims.FAILS: "does not hold", claims.UNCLEAR: "is unclear"}
VERDICT_WORDS = {
    claims.HOLDS: "holds here",
    claims.FAILS: "does not hold here",
    claims.UNCLEAR: "remains unclear here",
}
PART_WORDS = {
    claims.HOLDS: "this part holds",
    claims.FAILS: "this part does not hold",
    claims.UNCLEAR: "this part remains unclear",
}


# ------------------------------------------------------------------------------------------------- words


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capital(text: str) -> str:
    """With a capital letter first."""
    return text[0].upper() + text[1:]


def seed_count(count: int) -> str:
    """8 seeds."""
    return f"{count} seed{'s' if count != 1 else ''}"


def short_line(text: str) -> str:
    """`text` on one line, without control characters, and no longer than anybody reads."""
    text = text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "\N{HORIZONTAL ELLIPSIS}"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


# --------------------------------------------------------------------------------------------- one number


def number(value: float, places: int = 2, nothing: str = NOTHING) -> str:
    """With so many places and a real minus sign; `nothing` where it is not finite."""
    if not math.isfinite(value):
        return nothing
    if abs(value) >= LARGEST:
        return digits(value)
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", MINUS)


def digits(value: float, count: int = 3, nothing: str = DIVERGED) -> str:
    """So many digits that count: 0.0639, 17,600 or, as the layout makes a power of ten of it, 4.95e-5.

    `nothing` where it is not finite.
    """
    if not math.isfinite(value):
        return nothing
    if value == 0:
        return "0"
    count = max(count, 3) if 100 <= abs(value) < 1000 else count  # 386 is as short as 390
    factor, _, exponent = f"{value:.{count - 1}e}".partition("e")
    rounded = float(f"{factor}e{exponent}")
    if abs(rounded) >= LARGEST:
        raised = str(int(exponent)).translate(RAISED)
        return f"{factor} \N{MULTIPLICATION SIGN} 10{raised}".replace("-", MINUS)
    if abs(rounded) < SMALLEST:
        return f"{factor}e{int(exponent)}".replace("-", MINUS)
    return f"{rounded:,.{max(0, count - 1 - int(exponent))}f}".replace("-", MINUS)


def at_least(value: float, count: int = 2) -> str:
    """`digits` of a lower bound: rounded down, so that it stays one."""
    return digits(_towards(math.floor, value, count), count)


def at_most(value: float, count: int = 2) -> str:
    """`digits` of an upper bound: rounded up, so that it stays one."""
    return digits(_towards(math.ceil, value, count), count)


def _towards(side: Callable[[float], int], value: float, count: int) -> float:
    if not math.isfinite(value) or value == 0:
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - count + 1)
    return side(round(value / unit, 6)) * unit  # a value of so many digits stays as it is


def percent(share: float, places: int = 0) -> str:
    """A share in percent; a dash where there is none."""
    return number(100 * share, places) + PERCENT if math.isfinite(share) else NOTHING


def probability(p: float) -> str:
    """A p-value to three places; a dash where there is none."""
    if not math.isfinite(p):
        return NOTHING
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


# ------------------------------------------------------------------------------------------- many numbers


def spread(values: Sequence[float], places: int | None = None, count: int = 3, gap: str = " ") -> str:
    """Median and range over seeds, or the one value there is; a dash for none. gap: between the two.

    Written with so many places, or without them so many digits that count. What is NaN counts as infinite: a loss
    that diverged is higher than all others.
    """
    values = np.where(np.isnan(np.asarray(values, float)), np.inf, values)

    def write(value: float) -> str:
        return digits(float(value), count) if places is None else number(float(value), places, DIVERGED)

    if not len(values):
        return NOTHING
    middle = write(np.median(values))
    return middle if len(values) == 1 else f"{middle}{gap}[{write(np.min(values))}, {write(np.max(values))}]"


def two_digits(value: float) -> str:
    """In two digits that count."""
    return digits(float(value), 2)


def from_to(values: Sequence[float], shown: Callable[[float], str] = two_digits) -> str:
    """The smallest and the largest, 1.7 to 12; one of them where they are written alike, NOTHING of none."""
    return " to ".join(dict.fromkeys(map(shown, (min(values), max(values))))) if len(values) else NOTHING


def two_lines(values: Sequence[float], places: int | None = None) -> str:
    """As `spread`, in two digits that count or so many places, and the range below the median."""
    return spread(values, places, count=2, gap="\n")


def mean_and_interval(values: Sequence[float], places: int = 2, bounds: float = math.inf) -> str:
    """Mean and 95 % interval over seeds, or their range where there are too few seeds for one; a dash for none.

    bounds: an end beyond it on either side is drawn in to it, as no correlation lies beyond 1.
    """
    if not len(values):
        return NOTHING
    mean = number(float(np.mean(values)), places)
    if len(values) == 1:
        return mean
    low, high = claims.student_interval(values) if len(values) >= claims.ENOUGH else (min(values), max(values))
    ends = [max(low, -bounds), min(high, bounds)]
    places = apart(ends, places)
    return f"{number(float(np.mean(values)), places)} [{', '.join(number(end, places) for end in ends)}]"


def apart(ends: Sequence[float], places: int) -> int:
    """So many places, or one more where two ends that differ would be written alike."""
    return places + (min(ends) < max(ends) and len({number(end, places) for end in ends}) == 1)


def decimals(values: Sequence[float]) -> int:
    """Places after the point that give the smallest of the values three digits, from 2 to 6."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    return int(np.clip(2 - math.floor(math.log10(min(sizes))), 2, 6)) if sizes else 2


def median_and_range(values: Sequence[float], places: int | None = None) -> dict[str, str]:
    """Median and range over seeds as text, as `spread` writes them, and how many there are."""
    median, _, between = spread(values, places, gap="\n").partition("\n")
    return {"median": median, "range": between or NOTHING, "n": str(len(values))}


# --------------------------------------------------------------------------------- rows of several tables


def models(found: dict[str, Any], described: dict[str, str]) -> list[dict[str, str]]:
    """Name, layers, parameters and multiply-adds of each net, as its training counted them.

    described: {net: its layers in words}.
    """
    rows = []
    for net, layers in described.items():
        counted = [results for unit, results in found["results"].items() if net in unit.split("/")]
        rows.append(
            {
                "net": net,
                "layers": layers,
                "parameters": f"{counted[0]['parameters']:,}" if counted else NOTHING,
                "multiply_adds": f"{counted[0]['multiply_adds'] / 1e6:.2f}"
                if counted and "multiply_adds" in counted[0]
                else NOTHING,
            }
        )
    return rows
