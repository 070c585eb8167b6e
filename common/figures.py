"""How figures look: bands over seeds, labels, axes, keys. The way from a history to files is in `figure_files`.

A plot script is a dict of functions, history in and `Figure` out, and a loop over what is due:

    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))
"""

from collections.abc import Iterable, Sequence
from typing import Any

from common import reading
from common.figure_files import SUFFIXES, Drawing, encode, stamp_of, start, use_style
from common.tables import group_of

import numpy as np

__all__ = ["SUFFIXES", "Drawing", "encode", "stamp_of", "start", "use_style"]  # for plot scripts, beside what follows

WIDE = 6.3  # inches: the report's line
PLACES = {"shallow": 0, "middle": 1, "medium": 1, "deep": 2}  # a net's place in the sheet's colours and below
LINE_STYLES = ("-.", "--", "-")  # so that a grey print tells the nets apart
LINE_WIDTHS = (1.1, 1.4, 1.6)
TEXT_COLOURS = ("#997700", "#BB5566", "#004488")  # the sheet's, with a yellow dark enough to read
NEUTRAL = "#555555"  # what belongs to no net
KNOWN_DATA = ("computed", "MNIST", "CIFAR-10")  # sets under their own name need no remark
BAND_ALPHA = 0.18
TENTHS = (0.1, 0.9)  # bounds of a band, as shares of the seeds
FEW_SEEDS = 8  # from here on the band leaves out a tenth of the seeds on either side
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def grid(rows: int, columns: int, height: float, **sharing: Any) -> tuple[Any, np.ndarray]:
    """An empty figure of the report's width, `height` inches high, and its axes, (rows, columns).

    sharing: sharex, sharey and the like of `subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **sharing)


def net_style(net: str, groups: Sequence[str] = ()) -> dict[str, Any]:
    """Colour, line style and width of a group of seeds: the same in every figure for shallow, middle or medium, deep.

    groups: of the history, for others, which take the sheet's colours in this order, or even steps of a colour map.
    """
    import matplotlib

    colours = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    place = PLACES[net] if net in PLACES else list(groups).index(net)
    if net not in PLACES and len(groups) > len(colours):
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(groups)))
    look = place % len(LINE_STYLES)
    return {"color": colours[place], "linestyle": LINE_STYLES[look], "linewidth": LINE_WIDTHS[look]}


def net_colour(net: str) -> str:
    """Colour of a net's name."""
    return TEXT_COLOURS[PLACES[net]]


def letters(panels: Iterable[Any], titles: Iterable[str]) -> None:
    """Give the axes the titles (a) ..., (b) ..., which captions can name."""
    for number, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        axes.set_title(f"({chr(ord('a') + number)}) {title}")


def log_ticks(axis: Any) -> None:
    """Ticks of a log axis whose limits are settled, no more than can be told apart, with one kind of label.

    They are at 1, 2 and 5, at the decades, or beyond four decades at every second or fourth with none between. Labels
    are plain numbers; where one would be below 0.001 or of seven digits, all are powers of ten.
    """
    from matplotlib import ticker

    if min(axis.get_view_interval()) <= 0:  # nothing finite is drawn
        axis.set_view_interval(1, 10, ignore=True)
    low, high = np.log10(axis.get_view_interval())
    subs = (1, 2, 5) if high - low < (2.2 if low > -3 else 1) else (1,)  # multiples of powers are long words
    step = 1 if high - low <= 4 else 2 if high - low <= 12 else 4  # decades from one label to the next
    axis.set_major_locator(ticker.LogLocator(base=10.0**step, subs=subs, numticks=20))
    between = ticker.LogLocator(subs=range(1, 10), numticks=200) if step == 1 else ticker.NullLocator()
    axis.set_minor_locator(between)
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, place: log_label(axis, value)))
    axis.set_minor_formatter(ticker.NullFormatter())


def log_label(axis: Any, value: float) -> str:
    """A tick of a log axis, 0.01 or 10⁻², in the manner of all its ticks."""
    low, high = axis.get_view_interval()
    shown = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
    if not shown or (min(shown) > 0.99e-3 and max(shown) < 0.99e6):
        return f"{value:,g}"
    return power(value)


def short(value: float) -> str:
    """Two digits that count: 0.00064; what is below 0.0001 as a multiple of a power of ten."""
    shown = f"{value:#.2g}"
    return power(value, 1) if "e" in shown else shown


def power(value: float, places: int = 0) -> str:
    """10⁻⁵; of other leading digits its multiple, such as of 2e-5."""
    digits, exponent = f"{value:.{places}e}".split("e")
    raised = f"10{str(int(exponent)).translate(RAISED)}"
    return raised if digits == "1" else f"{digits} \N{MULTIPLICATION SIGN} {raised}"


def literal(text: str, longest: int = 60) -> str:
    """`text` as matplotlib shows it unchanged, on one line: no dollar sign starts mathematics."""
    line = " ".join(text.split())
    shown = line if len(line) <= longest else line[: longest - 1] + "…"
    return "".join(char if char.isprintable() else "?" for char in shown).replace("$", r"\$")


def band(
    axes: Any, x: Sequence[float], values: np.ndarray, spread: tuple[float, float] | None = None, **style: Any
) -> None:
    """Draw the median over seeds as a line, and their spread as a band.

    values: (seeds, points). spread: quantiles that bound the band; by default what `band_key` says for so many seeds.
    style: color, linestyle, linewidth of the line.
    """
    values = np.where(np.isfinite(values), values, np.nan)  # a diverged net leaves a gap
    middle = np.median(values, axis=0)
    if len(middle) == 1:
        style |= {"marker": "o"}  # a line of one point is invisible
    axes.plot(x, middle, **style)
    if len(values) > 1:
        low, high = np.quantile(values, spread or _spread(len(values)), axis=0)
        axes.fill_between(x, low, high, color=style["color"], alpha=BAND_ALPHA, linewidth=0)


def scattered(place: float, values: np.ndarray, width: float) -> np.ndarray:
    """Positions (values,) across a strip of `width` around `place`, such that neighbours in value lie far apart."""
    ranks = np.argsort(np.argsort(values, kind="stable"))
    return place + width * ((ranks * 0.618034) % 1 - 0.5)  # multiples of the golden ratio fill the strip evenly


def band_key(seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """The entry of a key that says what `band` draws and of how many seeds. seeds: how many of each net."""
    low, high = min(seeds), max(seeds)
    if high == 1:
        return {"(one seed)": {"linestyle": ""}}
    count = f"{high}" if low == high else f"{low} to {high}"
    reach = "smallest to largest" if _spread(high) == (0, 1) else "10 to 90 %"
    return {f"{reach} of {count} seeds (line: median)": {"linewidth": 7, "alpha": BAND_ALPHA}}


def _spread(seeds: int) -> tuple[float, float]:
    return (0, 1) if seeds < FEW_SEEDS else TENTHS


def label_ends(figure: Any, ends: dict[Any, dict[str, float]], colours: dict[str, Any] | None = None) -> None:
    """Write the names of lines right of their axes, each beside its line's last value or as near as room allows.

    ends: {axes: {name: last value}}; colours: by name, where they are not those of nets or of the lines that
    `over_epochs` drew. Comes last, as it measures the finished panels.
    """
    figure.draw_without_rendering()  # settles limits and heights
    for axes, values in ends.items():
        values = {name: value for name, value in values.items() if np.isfinite(value)}
        size = axes.xaxis.label.get_size()
        gap = 1.25 * size / (axes.bbox.height / figure.dpi * 72)
        places = [axes.transData.transform((axes.get_xlim()[1], value)) for value in values.values()]
        heights = [axes.transAxes.inverted().transform(place)[1] for place in places]
        for name, height in zip(values, apart(heights, gap) if heights else (), strict=True):
            lines = [line for line in axes.lines if line.get_label() == name]
            colour = colours[name] if colours else net_colour(name) if name in PLACES else lines[0].get_color()
            look = {"color": colour, "size": size, "va": "center", "clip_on": False}
            axes.text(1.02, height, name, transform=axes.transAxes, **look)


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in [0, 1] at least `gap` apart, in the same order and as near to the given ones as can be."""
    from scipy import optimize

    order, steps = np.argsort(heights, kind="stable"), np.arange(len(heights)) * gap
    piled = optimize.isotonic_regression(np.clip(np.asarray(heights)[order], 0, 1) - steps).x
    result = np.empty(len(heights))
    result[order] = np.clip(piled, 0, max(1 - steps[-1], 0)) + steps
    return result.tolist()


def note(axes: Any, words: str, at: tuple[float, float], place: tuple[float, float], **style: Any) -> None:
    """Write `words` at `place`, from 0 to 1 across and along the panel, with an arrow to the data point `at`."""
    arrow = {"arrowstyle": "->", "color": NEUTRAL, "linewidth": 0.7, "shrinkB": 3}
    look = {"color": NEUTRAL, "ha": "center", "va": "center"} | style
    axes.annotate(words, at, place, xycoords="data", textcoords="axes fraction", arrowprops=arrow, **look)


def over_epochs(axes: Any, history: dict[str, Any], group: str, name: str, **style: Any) -> float:
    """Draw the quantity `name` of a group, such as a net, by epoch, from 1, over its seeds.

    Returns the last median; NaN where nothing of the group is measured.
    """
    if not reading.units_of(history, group):
        return float("nan")
    values = reading.by_seed(history, group, name)
    look = net_style(group, reading.groups(history)) | {"label": group}
    band(axes, range(1, values.shape[1] + 1), values, **look | style)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if values.shape[1] > 1:
        axes.margins(x=0)
    return float(np.median(values[:, -1]))


def caveats(history: dict[str, Any], planned: Sequence[str]) -> str:
    """What a reader must know of this history before its numbers; empty for a whole paper run on the real data.

    planned: the units that a figure shows of a whole history, or their groups, such as shallow, middle, deep.
    """
    units = [[unit for unit in history["units"] if name in (unit, group_of(unit))] for name in planned]
    whole = len(units) * max(map(len, units), default=0)
    done = sum(unit in history["results"] for each in units for unit in each)
    scale = {"paper": "", "quick": "quick scale", "changed": "changed settings"}
    name = history["data"]["name"][:40]
    data = "sample data" if name == "sample" else f"data: {name}"
    remarks = [
        scale.get(history["scale"], f"scale: {history['scale']}"),
        "" if name in KNOWN_DATA else data,
        f"{done} of {whole} units measured" if done < whole else "",
    ]
    return literal("; ".join(remark for remark in remarks if remark), 110)


def unmeasured(words: str, remarks: str) -> Any:
    """A figure that says what is missing, such as "single layers", under the caveats."""
    figure, panels = grid(1, 1, 1.2)
    panels[0, 0].set_axis_off()
    panels[0, 0].text(0.5, 0.5, f"{words}: not measured yet", ha="center", va="center")
    subtitle(figure, remarks)
    return figure


def key(figure: Any, entries: dict[str, dict[str, Any]], columns: int = 0) -> None:
    """One legend for all panels, below them. entries: {words: properties of a line, such as linestyle}."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=label, **{"color": NEUTRAL, **style}) for label, style in entries.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns or len(handles))


def subtitle(figure: Any, text: str) -> None:
    """Write `text`, the caveats, above the panels; nothing where there is none."""
    if text:
        figure.suptitle(text, style="italic", color="#AA2211")
