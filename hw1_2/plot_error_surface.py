"""Draw the loss on lines and planes through the weights, from the history of error_surface.py.

error_surface          loss (above) and accuracy (below) from initial to final weights, a line a seed
error_surface_planes   loss around the final weights of one seed: a random plane, and the plane of the path to them

    python hw1_2/plot_error_surface.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
LEVELS = 24  # of loss, evenly on a log scale
DEEPEST = 1e-4  # nats: what is below is drawn as if it were there
TRAINING = {"color": "black", "linewidth": 1.0}
TESTING = {"color": "#BB5566", "linewidth": 1.0, "linestyle": "--"}
UNRELATED = {"color": "#009988", "linewidth": 1.1, "linestyle": ":"}
LOWEST = {"color": "black", "linestyle": "", "marker": "o", "markersize": 4, "markerfacecolor": "white"}
BUMP = {"color": "#DDAA33", "linestyle": "", "marker": "^", "markersize": 5, "markeredgecolor": "black"}
BUMP |= {"markeredgewidth": 0.5, "zorder": 3}
PATH = {"color": "black", "linewidth": 0.9}
EDGE = {"color": "white", "linewidth": 2.4}  # on either side of the path, so that it shows on dark and light
START = {"color": "black", "linestyle": "", "marker": "o", "markersize": 4.5, "markerfacecolor": "white"}
END = START | {"marker": "*", "markersize": 8}


def measured(history: dict) -> list[str]:
    """The optimizers with at least one seed."""
    return [optimizer for optimizer in OPTIMIZERS if reading.units_of(history, optimizer)]


def draw_lines(history: dict) -> Any:
    """A column for each optimizer: loss, log, above accuracy, by the place on the line."""
    optimizers, bumps = measured(history), False
    figure, panels = figures.grid(2, len(optimizers), 4.1, sharex=True, sharey="row")
    for (loss, accuracy), optimizer in zip(panels.T, optimizers, strict=True):
        loss.set_yscale("log", nonpositive="mask")
        for unit in reading.units_of(history, optimizer):
            for axes, quantity, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
                alpha = reading.field(history, unit, "unrelated_line", "alpha")
                axes.plot(
                    alpha, scale * reading.field(history, unit, "unrelated_line", f"train_{quantity}"), **UNRELATED
                )
                alpha = reading.field(history, unit, "line", "alpha")
                axes.plot(alpha, scale * reading.field(history, unit, "line", f"test_{quantity}"), **TESTING)
                axes.plot(alpha, scale * reading.field(history, unit, "line", f"train_{quantity}"), **TRAINING)
            for name in ("test_loss", "train_loss"):
                places = reading.field(history, unit, "line", "shape", name, "maxima")
                values = reading.field(history, unit, "line", name)
                loss.plot(places, values[np.searchsorted(alpha, places)], **BUMP)
                bumps |= bool(len(places))
            shape = ("line", "shape", "train_loss")
            place, lowest = (reading.field(history, unit, *shape, name) for name in ("minimum_at", "minimum"))
            loss.plot([place], [lowest], **LOWEST, clip_on=False)
        accuracy.set_xlabel("\N{GREEK SMALL LETTER ALPHA} (0: initial weights, 1: final weights)")
        loss.margins(x=0)
    panels[0, 0].set_ylabel("cross-entropy (nats)")
    panels[1, 0].set_ylabel("accuracy (%)")
    for axes in panels[0]:
        figures.log_ticks(axes.yaxis)
    titles = [f"{quantity}, {OPTIMIZERS[optimizer]}" for quantity in ("loss", "accuracy") for optimizer in optimizers]
    figures.letters(panels.flat, titles)
    entries = {"training": TRAINING, "test": TESTING, "training, from an unrelated start": UNRELATED}
    entries |= {"lowest training loss": LOWEST} | ({"interior maximum": BUMP} if bumps else {})
    figures.key(figure, entries, columns=3 if bumps else 0)
    figures.subtitle(figure, figures.caveats(history, list(OPTIMIZERS)))
    figure.align_ylabels()
    return figure


def draw_planes(history: dict) -> Any:
    """A column for each optimizer, its first seed: the random plane above the path's plane, one scale of loss."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    optimizers = measured(history)
    units = {optimizer: reading.units_of(history, optimizer)[0] for optimizer in optimizers}
    planes = {(name, unit): shown_losses(history, unit, name) for name in PLANES for unit in units.values()}
    norm = LogNorm(*span([losses for _, _, losses in planes.values()]))
    figure, panels = figures.grid(2, len(optimizers), 5.0)
    titles, levels = [], np.geomspace(norm.vmin, norm.vmax, LEVELS)
    for name, row in zip(PLANES, panels, strict=True):
        for axes, (optimizer, unit) in zip(row, units.items(), strict=True):
            x, y, losses = planes[name, unit]
            axes.grid(visible=False)
            if np.isfinite(losses).any():
                axes.contourf(x, y, np.ma.masked_invalid(losses), levels, norm=norm).set_rasterized(True)
                drawn = axes.contour(x, y, np.ma.masked_invalid(losses), levels[::3], colors="black", linewidths=0.3)
                drawn.set_rasterized(True)
            PLANES[name](axes, history, unit)
            if np.isfinite([x[0], x[-1], y[0], y[-1]]).all():
                axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
            titles.append(
                f"{name.replace('_', ' ').replace('path plane', 'plane of the path')}, {OPTIMIZERS[optimizer]}"
            )
    figures.letters(panels.flat, titles)
    bar = figure.colorbar(ScalarMappable(norm), ax=panels, label="training loss (nats)", aspect=40, pad=0.02)
    figures.log_ticks(bar.ax.yaxis)
    for level in levels[::3]:
        bar.ax.axhline(level, color="black", linewidth=0.3)  # which loss a contour has
    figures.key(figure, {"path of the training": PATH, "initial weights": START, "final": END})
    figures.subtitle(figure, figures.caveats(history, list(OPTIMIZERS)))
    return figure


def shown_losses(history: dict, unit: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and the losses (rows, columns) of a plane; NaN where a loss is not finite."""
    x, y, losses = (reading.field(history, unit, name, key) for key in ("x", "y", "loss"))
    return x, y, np.where(np.isfinite(losses), np.maximum(losses, DEEPEST), np.nan)


def span(planes: list[np.ndarray]) -> tuple[float, float]:
    """Smallest and largest finite loss, apart enough for a scale."""
    finite = np.concatenate([losses[np.isfinite(losses)] for losses in planes])
    low, high = (finite.min(), finite.max()) if len(finite) else (1.0, 1.0)
    return low * 0.999, max(high * 1.001, low * 1.01)


def mark_centre(axes: Any, history: dict, unit: str) -> None:
    """The final weights, in the middle of the random plane."""
    axes.plot([0], [0], **END)
    axes.set(xlabel="first direction (filter lengths)", ylabel="second direction (filter lengths)")


def mark_path(axes: Any, history: dict, unit: str) -> None:
    """The way of the training, seen from straight above its plane."""
    path, explained = reading.field(history, unit, "path"), reading.field(history, unit, "explained")
    axes.plot(*path.T, **EDGE)
    axes.plot(*path.T, **PATH)
    axes.plot(*path[0], **START)
    axes.plot(*path[-1], **END)
    names = [f"component {place} ({100 * share:.0f} % of variance)" for place, share in enumerate(explained, start=1)]
    axes.set(xlabel=names[0], ylabel=names[1])


PLANES = {"random_plane": mark_centre, "path_plane": mark_path}
FIGURES = {"error_surface": draw_lines, "error_surface_planes": draw_planes}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
