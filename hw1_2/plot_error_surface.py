"""Draw the loss on lines and planes through the weights, from the history of error_surface.py.

error_surface        loss from initial to final weights, a line a seed, above the plane of the path of one training
error_surface_more   accuracy on the same lines, above the loss on a random plane around the final weights

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
INSIDE = 0.95  # place on the line up to which a minimum counts as inside
LINES = {  # name of a line's losses and accuracies, and their look
    ("unrelated_line", "train"): {"color": "#009988", "linewidth": 1.1, "linestyle": ":"},
    ("line", "test"): {"color": "#BB5566", "linewidth": 1.2, "linestyle": "--"},
    ("line", "train"): {"color": "black", "linewidth": 1.0},
}
BUMP = {"color": "#DDAA33", "linestyle": "", "marker": "^", "markersize": 5, "markeredgecolor": "black"}
BUMP |= {"markeredgewidth": 0.5, "zorder": 3}
PATH = {"color": "black", "linewidth": 0.9}
EDGE = {"color": "white", "linewidth": 2.4}  # on either side of the path, so that it shows on dark and light
START = {"color": "black", "linestyle": "", "marker": "o", "markersize": 4.5, "markerfacecolor": "white"}
END = START | {"marker": "*", "markersize": 8}


def measured(history: dict) -> list[str]:
    """The optimizers with at least one seed."""
    return [optimizer for optimizer in OPTIMIZERS if reading.units_of(history, optimizer)]


def draw_surface(history: dict) -> Any:
    """A column for each optimizer: loss, log, on the lines, above the plane of the path of its first seed."""
    optimizers, bumps = measured(history), False
    figure, panels = figures.grid(2, len(optimizers), 4.4)
    for axes, optimizer in zip(panels[0], optimizers, strict=True):
        axes.set_yscale("log", nonpositive="mask")
        for unit in reading.units_of(history, optimizer):
            draw_lines(axes, history, unit, "loss")
            alpha = reading.field(history, unit, "line", "alpha")
            for name in ("test_loss", "train_loss"):
                places = reading.field(history, unit, "line", "shape", name, "maxima")
                axes.plot(places, reading.field(history, unit, "line", name)[np.searchsorted(alpha, places)], **BUMP)
                bumps |= bool(len(places))
        axes.sharey(panels[0, 0])
    for axes, optimizer in zip(panels[0], optimizers, strict=True):
        point_out(axes, history, optimizer)
        figures.log_ticks(axes.yaxis)
    panels[0, 0].set_ylabel("cross-entropy (nats)")
    draw_planes(figure, panels[1], history, "path_plane")
    figures.letters(
        panels.flat,
        [f"{OPTIMIZERS[name]}: {words}" for words in ("loss on the line", "plane of the path") for name in optimizers],
    )
    finish(figure, history, {"interior maximum": BUMP} if bumps else {})
    return figure


def draw_more(history: dict) -> Any:
    """A column for each optimizer: accuracy on the lines, above the random plane of its first seed."""
    optimizers = measured(history)
    figure, panels = figures.grid(2, len(optimizers), 3.3)
    for axes, optimizer in zip(panels[0], optimizers, strict=True):
        for unit in reading.units_of(history, optimizer):
            draw_lines(axes, history, unit, "accuracy", 100)
        axes.set_ylim(0, 103)
    panels[0, 0].set_ylabel("accuracy (%)")
    draw_planes(figure, panels[1], history, "random_plane")
    figures.letters(
        panels.flat, [f"{OPTIMIZERS[name]}: {words}" for words in ("accuracy", "random plane") for name in optimizers]
    )
    finish(figure, history, {})
    return figure


def finish(figure: Any, history: dict, more: dict) -> None:
    """Key and caveats."""
    words = ("training, from another start", "test", "training")
    figures.key(figure, dict(zip(words, LINES.values(), strict=True)) | more)
    figures.subtitle(figure, figures.caveats(history, list(OPTIMIZERS)))
    figure.align_ylabels()


def draw_lines(axes: Any, history: dict, unit: str, quantity: str, scale: float = 1) -> None:
    """One seed's loss or accuracy on its two lines, by the place on them."""
    for (line, images), style in LINES.items():
        alpha = reading.field(history, unit, line, "alpha")
        axes.plot(alpha, scale * reading.field(history, unit, line, f"{images}_{quantity}"), **style)
    axes.set_xlabel("place on the line (0: start, 1: end)")
    axes.margins(x=0)


def point_out(axes: Any, history: dict, optimizer: str) -> None:
    """Say on the lines where the first seed's test loss turns, or that it falls to the end."""
    unit = reading.units_of(history, optimizer)[0]
    alpha, loss = (reading.field(history, unit, "line", name) for name in ("alpha", "test_loss"))
    if not np.isfinite(loss).all():
        return
    lowest = int(np.argmin(loss))
    if alpha[lowest] < INSIDE:
        point = (alpha[lowest], loss[lowest])
        height = axes.transAxes.inverted().transform(axes.transData.transform(point))[1]
        figures.note(axes, "test loss\nturns here", point, (0.8, min(height + 0.3, 0.9)), color="#BB5566")
    else:
        figures.note(axes, "lowest at the end", (alpha[-1], loss[-1]), (0.62, 0.2))


def draw_planes(figure: Any, row: Any, history: dict, name: str) -> None:
    """The loss on a plane through the final weights, of each optimizer's first seed, on one scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    units = [reading.units_of(history, optimizer)[0] for optimizer in measured(history)]
    planes = [shown_losses(history, unit, name) for unit in units]
    norm = LogNorm(*span([losses for _, _, losses in planes]))
    levels = np.geomspace(norm.vmin, norm.vmax, LEVELS)
    for axes, unit, (x, y, losses) in zip(row, units, planes, strict=True):
        axes.grid(visible=False)
        if np.isfinite(losses).any():
            axes.contourf(x, y, np.ma.masked_invalid(losses), levels, norm=norm).set_rasterized(True)
            drawn = axes.contour(x, y, np.ma.masked_invalid(losses), levels[::3], colors="black", linewidths=0.3)
            drawn.set_rasterized(True)
        MARKS[name](axes, history, unit)
        if np.isfinite([x[0], x[-1], y[0], y[-1]]).all():
            axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    bar = figure.colorbar(ScalarMappable(norm), ax=row, label="training loss (nats)", aspect=20, pad=0.02)
    figures.log_ticks(bar.ax.yaxis)
    for level in levels[::3]:
        bar.ax.axhline(level, color="black", linewidth=0.3)  # which loss a contour has


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
    named(axes, "end", (0, 0))
    axes.set(xlabel="first direction (filter lengths)", ylabel="second direction (filter lengths)")


def mark_path(axes: Any, history: dict, unit: str) -> None:
    """The way of the training, seen from straight above its plane."""
    path, explained = reading.field(history, unit, "path"), reading.field(history, unit, "explained")
    axes.plot(*path.T, **EDGE)
    axes.plot(*path.T, **PATH)
    axes.plot(*path[0], **START)
    axes.plot(*path[-1], **END)
    named(axes, "start", path[0])
    named(axes, "end", path[-1])
    names = [
        f"component {place} ({100 * share:.0f} %{of})"
        for place, share, of in zip((1, 2), explained, (" of variance", ""), strict=True)
    ]
    axes.set(xlabel=names[0], ylabel=names[1])


def named(axes: Any, words: str, at: Any) -> None:
    """Words beside a mark, on a light ground."""
    ground = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.0}
    axes.annotate(words, at, (0, 9), textcoords="offset points", ha="center", va="center", bbox=ground)


MARKS = {"random_plane": mark_centre, "path_plane": mark_path}
FIGURES = {"error_surface": draw_surface, "error_surface_more": draw_more}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
