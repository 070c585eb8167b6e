"""Draw the paths of trainings through weight space, from the history of param_pca.py.

param_pca_layer        the paths in the plane of the first two principal components of one layer's weights
param_pca_model        the same for the whole model, over the loss in that plane
param_pca_distances    how far apart the runs end, and the cosines of the angles between their ways

    python hw1_2/plot_param_pca.py
"""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

# Paul Tol's "muted" scheme: told apart with any colour vision.
COLOURS = ("#332288", "#CC6677", "#117733", "#88CCEE", "#882255", "#DDCC77", "#44AA99", "#AA4499", "#999933")
CONTROL = "#111111"
SHADES = 25  # pieces of a path, from pale to its full colour
PALEST = 0.75  # share of white in the first piece
LOW_LOSS, HIGH_LOSS = "#FFFFFF", "#A6A6A6"
LEVELS = 13  # of the loss
START = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markersize": 3, "markeredgewidth": 0.8}
END = {"linestyle": "", "marker": "s", "markersize": 2.8}
DEAD = {"linestyle": "", "marker": "x", "markersize": 4.5}
POINTS = {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.6, "markeredgewidth": 0}
MEDIAN = {"linestyle": "-", "color": "black", "linewidth": 1.5}
BOUND = {"linestyle": "--", "color": "#AA2211", "linewidth": 1.2}
CHANCE = {"linewidth": 7, "color": "#BBBBBB", "alpha": 0.5}
TIMES = 3  # the control's median distance: the bound from which on ends count as different places
NORMAL_95 = 1.96  # standard deviations either side of a normal variable's mean that hold 95 % of it
SIDES = 8 * np.array(
    [(np.cos(angle), np.sin(angle)) for angle in np.pi * np.arange(1, 16, 2) / 8]
)  # points from an end
GROUPS = {"runs": "different\nstarts", "control": "one\nstart"}


def layers(history: dict) -> list[str]:
    """The measured units of single layers, in the order of the net."""
    found = [unit for unit in history["results"] if unit.startswith("layer-")]
    return sorted(found, key=lambda unit: int(unit.removeprefix("layer-")))


def pale(colour: str, share: float) -> tuple[float, ...]:
    """The colour with this share of white."""
    from matplotlib.colors import to_rgb

    return tuple(share + (1 - share) * part for part in to_rgb(colour))


def draw_path(axes: Any, path: np.ndarray, dead: bool, colour: str) -> None:
    """One path (2, records): pale at its start, in full colour at its end. A dead run is a cross."""
    records = path.shape[1]
    ends = np.unique(np.linspace(0, records - 1, min(SHADES, records - 1) + 1).round().astype(int))
    for place, (first, last) in enumerate(itertools.pairwise(ends)):
        share = PALEST * (1 - (place + 1) / (len(ends) - 1))
        axes.plot(*path[:, first : last + 1], color=pale(colour, share), linewidth=1.1, solid_capstyle="round")
    axes.plot(*path[:, 0], color=colour, **START, zorder=3)
    axes.plot(*path[:, -1], color=colour, **(DEAD if dead else END), zorder=3)


def draw_paths(axes: Any, history: dict, unit: str, plane: str) -> None:
    """One panel: all runs in the plane fitted to the runs from different starts, or to all, the control included."""
    shares = reading.field(history, unit, "explained", plane)
    names = ["control", "runs"] if plane == "all" else ["runs"]
    paths = {name: reading.field(history, unit, "paths", plane, name) for name in names}
    seeds = reading.field(history, unit, "runs", "seeds")
    for name in names:
        dead = reading.field(history, unit, name, "dead").astype(bool)
        for index, path in enumerate(paths[name]):
            draw_path(axes, path, dead[index], COLOURS[index % len(COLOURS)] if name == "runs" else CONTROL)
    everything = np.concatenate([path.transpose(1, 0, 2).reshape(2, -1) for path in paths.values()], axis=1)
    known = everything[:, np.isfinite(everything).all(axis=0)]
    low, high = (known.min(axis=1), known.max(axis=1)) if known.size else np.zeros((2, 2))
    half = 0.58 * max(float((high - low).max()), 1e-6)
    for axis, name in enumerate("xy"):
        middle = (low[axis] + high[axis]) / 2
        share = f" ({100 * shares[axis]:.0f} % of the variance)" if axis < len(shares) else ""
        axes.set(**{f"{name}lim": (middle - half, middle + half), f"{name}label": f"component {axis + 1}{share}"})
    axes.set_aspect("equal")  # a distance is the same in all directions
    number_ends(axes, {f"{seed:.0f}": path[:, -1] for seed, path in zip(seeds, paths["runs"], strict=True)}, known)


def number_ends(axes: Any, ends: dict[str, np.ndarray], drawn: np.ndarray) -> None:
    """Write its seed beside each end, for who sees no colours: on the side that is farthest from all that is drawn.

    drawn: (2, points), the paths.
    """

    def in_points(places: np.ndarray) -> np.ndarray:
        return axes.transData.transform(places) * 72 / axes.figure.dpi

    taken = [in_points(drawn.T)]
    for seed, end in ends.items():
        if np.isfinite(end).all():
            sides = in_points(end[None]) + SIDES
            nearest = [np.hypot(*(np.concatenate(taken) - side).T).min() for side in sides]
            best = int(np.argmax(nearest))
            taken.append(sides[[best]])
            look = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 7}
            axes.annotate(seed, end, SIDES[best], **look)


def run_key(figure: Any, history: dict, unit: str) -> None:
    """Colours, seeds and last losses of the runs, and what the marks mean."""
    seeds, losses = (reading.field(history, unit, "runs", name) for name in ("seeds", "end_loss"))
    dead = reading.field(history, unit, "runs", "dead").astype(bool)
    entries = {}
    for index, (seed, loss) in enumerate(zip(seeds, losses, strict=True)):
        ended = "dead" if dead[index] else f"loss {figures.short(loss)}"
        entries[f"seed {seed:.0f}: {ended}"] = {"color": COLOURS[index % len(COLOURS)], "linewidth": 2.5}
    control = reading.field(history, unit, "control", "dead").astype(bool)
    control_seed = reading.field(history, unit, "control", "seeds")[0]
    entries[f"control: {len(control)} from seed {control_seed:.0f}"] = {"color": CONTROL, "linewidth": 2.5}
    entries |= {"start": START, "end": END}
    if dead.any() or control.any():
        entries["dead"] = DEAD
    figures.key(figure, entries, columns=4)


def draw_layer(history: dict) -> Any:
    """A row for each measured layer: the plane of the runs from different starts, and that of all runs."""
    units = layers(history)
    if not units:
        return figures.unmeasured("single layers", figures.caveats(history, list(history["units"])))
    figure, panels = figures.grid(len(units), 2, 0.9 + 3.0 * len(units))
    titles = []
    for row, unit in zip(panels, units, strict=True):
        for axes, plane in zip(row, ("runs", "all"), strict=True):
            draw_paths(axes, history, unit, plane)
            what = "different starts" if plane == "runs" else "with the control"
            titles.append(f"Dense layer {unit.removeprefix('layer-')}, {what}")
    figures.letters(panels.flat, titles)
    run_key(figure, history, units[0])
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


def draw_model(history: dict) -> Any:
    """The whole model: the plane of the runs from different starts over its loss, and the plane of all runs."""
    if "whole" not in history["results"]:
        return figures.unmeasured("the whole model", figures.caveats(history, list(history["units"])))
    figure, panels = figures.grid(1, 2, 4.4)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.97))  # beside a colour bar the layout forgets the titles' height
    draw_surface(figure, panels[0], history)
    for axes, plane in zip(panels[0], ("runs", "all"), strict=True):
        draw_paths(axes, history, "whole", plane)
    figures.letters(panels.flat, ["whole model, different starts", "whole model, with the control"])
    run_key(figure, history, "whole")
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


def draw_surface(figure: Any, panels: Sequence[Any], history: dict) -> None:
    """Contours of the loss in the first panel's plane, in equal steps of its logarithm; their scale below."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    across, along, loss = (reading.field(history, "whole", "surface", name) for name in ("across", "along", "loss"))
    finite = loss[np.isfinite(loss) & (loss > 0)]
    axes = panels[0]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (1.0, 1.0)
    levels = np.geomspace(low, max(high, low * 1.01), LEVELS)
    shades = LinearSegmentedColormap.from_list("loss", [LOW_LOSS, HIGH_LOSS])
    loss = np.clip(np.where(np.isfinite(loss), loss, levels[-1]), levels[0], levels[-1])
    filled = axes.contourf(across, along, loss, levels=levels, norm=LogNorm(levels[0], levels[-1]), cmap=shades)
    axes.contour(across, along, loss, levels=levels, colors="white", linewidths=0.5)
    axes.grid(visible=False)
    bar = figure.colorbar(filled, ax=list(panels), location="bottom", shrink=0.5, aspect=40)
    bar.set_label("(a): loss in the plane, log scale")
    figures.log_ticks(bar.ax.xaxis)


def draw_distances(history: dict) -> Any:
    """Distances of the ends over all pairs of live runs, before and after matching units; cosines of the ways."""
    if "whole" not in history["results"]:
        return figures.unmeasured("the whole model", figures.caveats(history, list(history["units"])))
    figure, ((distances, cosines),) = figures.grid(1, 2, 3.1)
    columns = [
        (name, quantity, f"{GROUPS[name]},\n{words}")
        for name in GROUPS
        for quantity, words in (("distances", "as trained"), ("matched_distances", "matched"))
    ]
    draw_strips(distances, history, columns)
    bound = reading.field(history, "whole", "control", "matched_distances")
    if bound.size:
        distances.axhline(TIMES * np.median(bound), **BOUND)
    distances.set_ylim(bottom=0)
    distances.set_ylabel("distance of two ends")
    draw_strips(cosines, history, [(name, "cosines", words) for name, words in GROUPS.items()])
    spread = NORMAL_95 / np.sqrt(reading.field(history, "whole", "parameters"))
    cosines.axhspan(-spread, spread, color=CHANCE["color"], alpha=CHANCE["alpha"], zorder=0)
    cosines.set_ylabel("cosine of two displacements")
    figures.letters((distances, cosines), ["distances of the ends", "directions from start to end"])
    live = {name: len(reading.field(history, "whole", name, "lengths")) for name in GROUPS}
    entries = {
        f"a pair of live runs ({live['runs']} from different starts, {live['control']} from one)": POINTS,
        "median": MEDIAN,
        "three times the control's, matched": BOUND,
        "random directions: 95 % lie here": CHANCE,
    }
    figures.key(figure, entries, columns=2)
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


def draw_strips(axes: Any, history: dict, columns: Sequence[tuple[str, str, str]]) -> None:
    """A strip of points for each of the columns (group, quantity, words below it), with its median."""
    for place, (name, quantity, _) in enumerate(columns):
        values = reading.field(history, "whole", name, quantity)
        x = figures.scattered(place, values, width=0.5)
        axes.plot(x, values, color=COLOURS[0] if name == "runs" else CONTROL, **POINTS)
        if values.size:
            axes.plot([place - 0.35, place + 0.35], [np.median(values)] * 2, **MEDIAN)
    axes.set_xticks(range(len(columns)), [words for *_, words in columns])
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.grid(visible=False, axis="x")


FIGURES = {
    "param_pca_layer": draw_layer,
    "param_pca_model": draw_model,
    "param_pca_distances": draw_distances,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
