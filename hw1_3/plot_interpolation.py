"""Draw the lines between two solutions and how flat their ends are, from the history of interpolation.py.

interpolation             loss, accuracy and, enlarged, test accuracy through small and large batch, by stage
interpolation_adam        the same through small and large learning rate
interpolation_barriers    how high the training loss rises between the ends, as a multiple of its limit, a mark a seed
interpolation_flatness    how far one can go from either end before the training loss has risen, a mark a seed

    python hw1_3/plot_interpolation.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

UNITS = ("sgd/early", "sgd/late", "sgd/converged", "adam/converged")
ENDS = ("small", "large")
STARTS = {  # from where the two ends began
    "shared": {"color": "#004488", "zorder": 3},
    "independent": {"color": "#BB5566"},
    "matched": {"color": "#DDAA33"},
}
MARKED = {  # so that a grey print tells them apart
    "shared": {},
    "independent": {"marker": "s", "markersize": 2.8, "markevery": (7, 14)},
    "matched": {"marker": "^", "markersize": 3.2, "markevery": (0, 14)},
}
ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
WORDS = {"shared": "same start", "independent": "other start", "matched": "other start, units matched"}
TRAINING, TESTING = {"linestyle": "-", "linewidth": 1.3}, {"linestyle": "--", "linewidth": 1.1}
SOLUTION = {"linestyle": "", "marker": "o", "markersize": 4.5, "color": "black", "markerfacecolor": "white"}
SOLUTION |= {"zorder": 5, "markeredgewidth": 0.9}
SEED = {"color": "#004488", "linewidth": 0.6, "alpha": 0.5}
BETWEEN = {"color": "#999999", "linewidth": 0.6, "linestyle": ":"}
MARK = {"linestyle": "", "marker": "o", "markersize": 3.2, "alpha": 0.75, "markeredgewidth": 0}
PAIR = {"color": "#777777", "linewidth": 0.6, "marker": "o", "markersize": 3, "alpha": 0.8}
MIDDLE = {"color": "black", "linestyle": "", "marker": "_", "markersize": 13, "markeredgewidth": 1.4, "zorder": 4}
BOUND = {"color": "black", "linestyle": "--", "linewidth": 1.0}
TENTH = 0.1  # of the way from the ends' loss to that of guessing: the limit of a barrier
FLOOR = 1e-3  # of a limit: smaller barriers are drawn there, as log 0 is nowhere
HALF_AN_IMAGE = 5e-5  # of 10,000: an accuracy of 1 is drawn there, as log 0 is nowhere
ACCURACIES = (0.1, 0.7, 0.9, 0.97, 0.99, 0.997, 0.999, 1 - HALF_AN_IMAGE)  # errors some three times apart
ENLARGED = (-1.5, 0.5)  # points of accuracy, from the mean of the two ends, in the enlarged panels


def measured(history: dict, units: tuple[str, ...] = UNITS) -> list[str]:
    """Those units that are measured."""
    return [unit for unit in units if unit in history["results"]]


def title_of(history: dict, unit: str) -> str:
    """Optimizer and number of steps."""
    optimizer, stage = unit.split("/")
    steps = reading.setting(history, f"{stage if optimizer == 'sgd' else 'adam'}_steps")
    return f"{stage}, {steps:,} steps" if optimizer == "sgd" else f"Adam, {steps:,} steps"


def end_names(history: dict, unit: str) -> tuple[str, str, str]:
    """What differs between the ends, in a word, and its two values."""
    word, name = ("batch", "batch") if unit.startswith("sgd") else ("rate", "learning_rate")
    small, large = (f"{reading.setting(history, f'{end}_{name}'):g}" for end in ENDS)
    return word, small, large


def place_label(history: dict, unit: str) -> str:
    """What the place on a line is called."""
    word, small, large = end_names(history, unit)
    return f"{ALPHA} (0: {word} {small}, 1: {large})"


def draw_batches(history: dict) -> Any:
    """A column for each stage of gradient descent: loss, accuracy, and test accuracy enlarged."""
    units = measured(history, UNITS[:3])
    if not units:
        return figures.unmeasured("small and large batches", figures.caveats(history, list(UNITS)))
    figure, panels = figures.grid(3, len(units), 6.6, sharex=True, sharey="row")
    for column, unit in zip(panels.T, units, strict=True):
        draw_line(column, history, unit)
        column[-1].set_xlabel(place_label(history, unit))
    for axes in panels[:, 1:].flat:
        axes.set_ylabel("")
    later = ("accuracy", "test accuracy")
    figures.letters(panels.flat, [title_of(history, unit) for unit in units] + [row for row in later for _ in units])
    return finish(figure, panels, history)


def draw_rates(history: dict) -> Any:
    """Adam: loss, accuracy, and the test accuracy enlarged, side by side."""
    unit = UNITS[3]
    if not measured(history, (unit,)):
        return figures.unmeasured("small and large learning rates", figures.caveats(history, list(UNITS)))
    figure, panels = figures.grid(1, 3, 2.9)
    draw_line(panels[0], history, unit)
    for axes in panels[0]:
        axes.set_xlabel(place_label(history, unit))
    figures.letters(panels.flat, ["loss", "accuracy", "test accuracy"])
    return finish(figure, panels, history)


def draw_line(panels: np.ndarray, history: dict, unit: str) -> None:
    """Loss, accuracy and enlarged test accuracy of one unit in three panels: medians over seeds, and the ends."""
    loss, accuracy, enlarged = panels
    alpha = reading.field(history, unit, "alpha")
    for start, colour in STARTS.items():
        for data, style in (("test", TESTING), ("train", TRAINING)):
            values = reading.field(history, unit, "lines", start, f"{data}_loss")
            loss.plot(alpha, np.median(values, axis=0), **colour, **style, **MARKED[start])
            values = error_of(reading.field(history, unit, "lines", start, f"{data}_accuracy"))
            accuracy.plot(alpha, np.median(values, axis=0), **colour, **style, **MARKED[start])
    for place, end in enumerate(ENDS):
        for data in ("train", "test"):
            own = reading.field(history, unit, "ends", end, f"{data}_loss")
            loss.plot([place], [np.median(own)], **SOLUTION)
            own = error_of(reading.field(history, unit, "ends", end, f"{data}_accuracy"))
            accuracy.plot([place], [np.median(own)], **SOLUTION)
    curves = 100 * reading.field(history, unit, "lines", "shared", "test_accuracy")
    own = 100 * np.array([reading.field(history, unit, "ends", end, "test_accuracy") for end in ENDS])
    curves, own = curves - own.mean(axis=0)[:, None], own - own.mean(axis=0)
    enlarged.plot(alpha, curves.T, **SEED)
    enlarged.plot(alpha, np.median(curves, axis=0), **STARTS["shared"], linewidth=1.8)
    enlarged.plot([0, 1], np.median(own, axis=1), **SOLUTION)
    loss.set(yscale="log", ylabel="cross-entropy (nats)")
    accuracy.set(yscale="log", ylabel="accuracy (%), log of error")
    enlarged.set_ylabel("points above the ends' mean")


def error_of(accuracy: np.ndarray) -> np.ndarray:
    """The share of errors, at least half an image."""
    return np.maximum(1 - accuracy, HALF_AN_IMAGE)


def finish(figure: Any, panels: np.ndarray, history: dict) -> Any:
    """Ends as vertical lines, ticks, limits, and the key."""
    from matplotlib import ticker

    losses, accuracies, enlarged = panels if len(panels) == 3 else panels.T
    for axes in enlarged:
        axes.set_ylim(*ENLARGED)
    for axes in panels.flat:
        for place in (0, 1):
            axes.axvline(place, **BETWEEN)
        axes.margins(x=0)
        axes.xaxis.set_major_locator(ticker.MultipleLocator(1))
    for axes in losses:
        figures.log_ticks(axes.yaxis)
    for axes in accuracies:
        low, high = sorted(axes.get_ylim())
        shown = [tick for tick in ACCURACIES if low <= 1 - tick <= high]
        axes.set_ylim(high, low)  # the better, the higher
        axes.set_yticks([1 - tick for tick in shown], [f"{100 * tick:.3g}" for tick in shown])
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    entries = {WORDS[start]: colour | MARKED[start] | {"markevery": None} for start, colour in STARTS.items()}
    entries |= {"training": TRAINING, "test": TESTING, "solutions": SOLUTION}
    entries["each seed, same start"] = SEED | {"linewidth": 0.9, "alpha": 0.8}
    figures.key(figure, entries, columns=4)
    figures.subtitle(figure, figures.caveats(history, list(UNITS)))
    figure.align_ylabels()
    return figure


def draw_barriers(history: dict) -> Any:
    """A panel a unit: barriers of the training loss by start, as multiples of their limits, and a line at 1."""
    units = measured(history)
    figure, panels = figures.grid(1, len(units), 2.7, sharey=True)
    for axes, unit in zip(panels[0], units, strict=True):
        for place, (start, colour) in enumerate(STARTS.items()):
            shares = np.maximum(shares_of_limit(history, unit, start), FLOOR)
            axes.plot(figures.scattered(place, shares, 0.5), shares, clip_on=False, **MARK, **colour)
            axes.plot([place], [np.median(shares)], **MIDDLE)
        axes.axhline(1, **BOUND)
        axes.set_xticks(range(len(STARTS)), ["same\nstart", "other\nstart", "other,\nmatched"])
        axes.set_xlim(-0.6, len(STARTS) - 0.4)
        axes.grid(visible=False, axis="x")
    panels[0, 0].set_yscale("log")
    panels[0, 0].set_ylim(FLOOR, max(2, panels[0, 0].get_ylim()[1]))
    figures.log_ticks(panels[0, 0].yaxis)
    panels[0, 0].set_ylabel("barrier / limit")
    figures.letters(panels.flat, [title_of(history, unit).replace(", ", ",\n") for unit in units])
    entries = {"a seed": MARK | {"color": "#555555"}, "median": MIDDLE | {"markersize": 9}}
    figures.key(figure, entries | {"limit: a tenth of the way from the ends' loss to ln 10": BOUND})
    figures.subtitle(figure, figures.caveats(history, list(UNITS)))
    return figure


def shares_of_limit(history: dict, unit: str, start: str) -> np.ndarray:
    """(seeds,): barriers of the training loss, each as a multiple of its own line's limit."""
    alpha = reading.field(history, unit, "alpha")
    losses = reading.field(history, unit, "lines", start, "train_loss")[:, np.searchsorted(alpha, (0, 1))]
    heights = reading.field(history, unit, "lines", start, "barrier", "train_loss", "height")
    return heights / (TENTH * (np.log(10) - losses.mean(axis=1)))


def draw_flatness(history: dict) -> Any:
    """A panel a unit: how far from either end the training loss has risen along random directions, seed by seed."""
    units = measured(history)
    figure, panels = figures.grid(1, len(units), 2.8, sharey=True)
    for axes, unit in zip(panels[0], units, strict=True):
        distances = [reading.field(history, unit, "flatness", end).mean(axis=(1, 2)) for end in ENDS]
        axes.plot([0, 1], distances, **PAIR)
        axes.plot([0, 1], np.median(distances, axis=1), **MIDDLE)
        word, *values = end_names(history, unit)
        axes.set_xticks([0, 1], [f"{word}\n{value}" for value in values])
        axes.set_xlim(-0.45, 1.45)
        axes.grid(visible=False, axis="x")
    panels[0, 0].set_ylim(0, 1.05 * panels[0, 0].get_ylim()[1])
    panels[0, 0].set_ylabel("distance (lengths of the weights)")
    figures.letters(panels.flat, [title_of(history, unit).replace(", ", ",\n") for unit in units])
    figures.key(figure, {"a seed": PAIR, "median": MIDDLE | {"markersize": 9}})
    figures.subtitle(figure, figures.caveats(history, list(UNITS)))
    return figure


FIGURES = {
    "interpolation": draw_batches,
    "interpolation_adam": draw_rates,
    "interpolation_barriers": draw_barriers,
    "interpolation_flatness": draw_flatness,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
