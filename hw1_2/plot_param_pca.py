"""Draw the paths of trainings through weight space, from the history of param_pca.py.

param_pca_paths        the paths in the plane of their first two principal components: one layer, and the whole model
param_pca_ends         cosines of the angles between ways; the functions at the ends, where kept, and how they differ
param_pca_distances    how far apart the ends are, before and after hidden units were matched
param_pca_surface      whole model: the paths over the loss in their plane; with the control, in the plane of both

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

RUN, STUCK, CONTROL = "#004488", "#BB5566", "#222222"  # told apart with any colour vision, and by lightness
SHADES = 25  # pieces of a path, from pale to its full colour
PALEST = 0.75  # share of white in the first piece
LOW_LOSS, HIGH_LOSS = "#FFFFFF", "#A6A6A6"
LEVELS = 13  # of the loss
START = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markersize": 3, "markeredgewidth": 0.8}
END = {"linestyle": "", "marker": "s", "markersize": 2.8}
DEAD = {"linestyle": "", "marker": "x", "markersize": 4.5}
POINTS = {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.6, "markeredgewidth": 0}
MEDIAN = {"linestyle": "-", "color": "black", "linewidth": 1.5}
TARGET = {"color": "#CCCCCC", "linewidth": 4}
WIDEST = {"color": "black", "linestyle": ":", "linewidth": 1.2}
STALLED = 50  # times the median loss at the end: a run on a plateau
UNSEEN = 0.1  # of its length: a way of which the plane shows less leaves it
NORMAL_95 = 1.96  # standard deviations either side of a normal variable's mean that hold 95 % of it
SIDES = 8 * np.array(
    [(np.cos(angle), np.sin(angle)) for angle in np.pi * np.arange(1, 16, 2) / 8]
)  # points from an end
GROUPS = {"runs": "different\nstarts", "control": "one\nstart"}


def layers(history: dict) -> list[str]:
    """The measured units of single layers, in the order of the net."""
    found = [unit for unit in history["results"] if unit.startswith("layer-")]
    return sorted(found, key=lambda unit: int(unit.removeprefix("layer-")))


def live_of(history: dict, unit: str, name: str) -> np.ndarray:
    """(runs,) booleans: which runs of a group do not answer all inputs alike."""
    return ~reading.field(history, unit, name, "dead").astype(bool)


def stalled_of(history: dict, unit: str) -> np.ndarray:
    """(runs,) booleans: which live runs from different starts end on a plateau."""
    loss, live = reading.field(history, unit, "runs", "end_loss"), live_of(history, unit, "runs")
    return live & (loss > STALLED * np.median(loss[live])) if live.any() else live


def colours(history: dict, unit: str) -> list[str]:
    """A colour for each run from a start of its own."""
    return [STUCK if stuck else RUN for stuck in stalled_of(history, unit)]


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
        axes.plot(*path[:, first : last + 1], color=pale(colour, share), linewidth=1.6, solid_capstyle="round")
    axes.plot(*path[:, 0], color=colour, **START, zorder=3)
    axes.plot(*path[:, -1], color=colour, **(DEAD if dead else END), zorder=3)


def draw_paths(axes: Any, history: dict, unit: str, plane: str) -> None:
    """One panel: all runs in the plane fitted to the runs from different starts, or to all, the control included."""
    shares = reading.field(history, unit, "explained", plane)
    names = ["control", "runs"] if plane == "all" else ["runs"]
    paths = {name: reading.field(history, unit, "paths", plane, name) for name in names}
    seeds = reading.field(history, unit, "runs", "seeds")
    shades = {"runs": colours(history, unit), "control": [CONTROL] * len(paths.get("control", []))}
    for name in names:
        for path, live, colour in zip(paths[name], live_of(history, unit, name), shades[name], strict=True):
            draw_path(axes, path, not live, colour)
    everything = np.concatenate([path.transpose(1, 0, 2).reshape(2, -1) for path in paths.values()], axis=1)
    known = everything[:, np.isfinite(everything).all(axis=0)]
    low, high = (known.min(axis=1), known.max(axis=1)) if known.size else np.zeros((2, 2))
    half = 0.62 * max(float((high - low).max()), 1e-6)
    for axis, name in enumerate("xy"):
        middle = (low[axis] + high[axis]) / 2
        share = f" ({100 * shares[axis]:.0f} % of variance)" if axis < len(shares) else ""
        axes.set(**{f"{name}lim": (middle - half, middle + half), f"{name}label": f"component {axis + 1}{share}"})
    axes.set_aspect("equal")  # a distance is the same in all directions
    ends = {f"{seed:.0f}": path[:, -1] for seed, path in zip(seeds, paths["runs"], strict=True)}
    number_ends(axes, ends, dict(zip(ends, shades["runs"], strict=True)), known)


def number_ends(axes: Any, ends: dict[str, np.ndarray], colours: dict[str, str], drawn: np.ndarray) -> None:
    """Write its seed beside each end, on the side that is farthest from all that is drawn.

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
            look = {"textcoords": "offset points", "ha": "center", "va": "center"}
            axes.annotate(seed, end, SIDES[best], color=colours[seed], **look)


def path_key(figure: Any, history: dict, unit: str, control: bool = False) -> None:
    """What colours and marks mean."""
    stuck, every = stalled_of(history, unit), np.concatenate([live_of(history, unit, name) for name in GROUPS])
    entries = {"run, with its seed": {"color": RUN, "linewidth": 2.5}}
    if stuck.any():
        entries["run that stalls"] = {"color": STUCK, "linewidth": 2.5}
    if control:
        seed = reading.field(history, unit, "control", "seeds")[0]
        entries[f"control, from seed {seed:.0f}"] = {"color": CONTROL, "linewidth": 2.5}
    figures.key(figure, entries | {"start": START, "end": END} | ({} if every.all() else {"dead": DEAD}))


def draw_plane(history: dict) -> Any:
    """The first measured layer and the whole model, each in the plane of the runs from different starts."""
    units = [*layers(history)[:1], *(["whole"] if "whole" in history["results"] else [])]
    if not units:
        return figures.unmeasured("the paths", figures.caveats(history, list(history["units"])))
    figure, panels = figures.grid(1, len(units), 2.9)
    for axes, unit in zip(panels[0], units, strict=True):
        draw_paths(axes, history, unit, "runs")
    if units[-1] == "whole":
        point_at_unseen(panels[0, -1], history)
    parameters = {unit: reading.field(history, unit, "parameters") for unit in units}
    words = {unit: "whole model" if unit == "whole" else f"Dense layer {unit.removeprefix('layer-')}" for unit in units}
    figures.letters(panels[0], [f"{words[unit]}, {parameters[unit]:,.0f} weights" for unit in units])
    path_key(figure, history, units[-1])
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


def point_at_unseen(axes: Any, history: dict) -> None:
    """Name the live runs whose ways leave the plane of the whole model: it shows hardly any of their length."""
    live = live_of(history, "whole", "runs")
    paths = reading.field(history, "whole", "paths", "runs", "runs")[live]
    shown = np.linalg.norm(paths[:, :, -1] - paths[:, :, 0], axis=1)
    unseen = shown < UNSEEN * reading.field(history, "whole", "runs", "lengths")
    if unseen.any():
        seeds = [f"{seed:.0f}" for seed in reading.field(history, "whole", "runs", "seeds")[live][unseen]]
        names = f"seeds {', '.join(seeds[:-1])} and {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
        words = f"{names}\nleave this plane"
        figures.note(axes, words, tuple(paths[unseen, :, -1].mean(axis=0)), (0.7, 0.88))


def draw_over_loss(history: dict) -> Any:
    """The whole model: the plane of the runs from different starts, over the loss there; and that of all runs."""
    if "whole" not in history["results"]:
        return figures.unmeasured("the whole model", figures.caveats(history, list(history["units"])))
    figure, panels = figures.grid(1, 2, 2.5)
    draw_surface(figure, panels[0, 0], history)
    for axes, plane in zip(panels[0], ("runs", "all"), strict=True):
        draw_paths(axes, history, "whole", plane)
    figures.letters(panels[0], ["runs, over the loss", "runs and control"])
    path_key(figure, history, "whole", control=True)
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


def draw_surface(figure: Any, axes: Any, history: dict) -> None:
    """Contours of the loss in the plane, in equal steps of its logarithm; their scale beside it."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    across, along, loss = (reading.field(history, "whole", "surface", name) for name in ("across", "along", "loss"))
    finite = loss[np.isfinite(loss) & (loss > 0)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (1.0, 1.0)
    levels = np.geomspace(low, max(high, low * 1.01), LEVELS)
    shades = LinearSegmentedColormap.from_list("loss", [LOW_LOSS, HIGH_LOSS])
    loss = np.clip(np.where(np.isfinite(loss), loss, levels[-1]), levels[0], levels[-1])
    filled = axes.contourf(across, along, loss, levels=levels, norm=LogNorm(levels[0], levels[-1]), cmap=shades)
    axes.contour(across, along, loss, levels=levels, colors="white", linewidths=0.5)
    axes.grid(visible=False)
    bar = figure.colorbar(filled, ax=axes, shrink=0.8)
    bar.set_label("loss in the plane, log scale")
    figures.log_ticks(bar.ax.yaxis)


def draw_ends(history: dict) -> Any:
    """Angles between the ways; and where predictions were kept, the functions at the ends and how far they differ."""
    if "whole" not in history["results"]:
        return figures.unmeasured("the whole model", figures.caveats(history, list(history["units"])))
    kept = all("predictions" in history["results"]["whole"][name] for name in GROUPS)
    figure, panels = figures.grid(1, 3 if kept else 1, 2.3)
    cosines = panels[0, 0]
    draw_strips(cosines, history, [(name, "cosines", words) for name, words in GROUPS.items()])
    spread = NORMAL_95 / np.sqrt(reading.field(history, "whole", "parameters"))
    cosines.axhspan(-spread, spread, color="#BBBBBB", alpha=0.5, zorder=0)
    cosines.set_ylabel("cosine of two displacements")
    figures.note(cosines, "grey: 95 % of\nrandom\ndirections", (0, spread), (0.27, 0.66))
    entries, titles = {"a pair of runs": POINTS, "median": MEDIAN}, ["directions"]
    if kept:
        draw_functions(panels[0, 1], history)
        draw_differences(panels[0, 2], history)
        titles += ["functions at the ends", "how far they differ"]
        entries |= {"target f1": TARGET}
    figures.letters(panels[0], titles)
    figures.key(figure, entries)
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


def draw_functions(axes: Any, history: dict) -> None:
    """What the live runs from different starts predict at the end, over the target."""
    curves, live = reading.field(history, "whole", "runs", "predictions"), live_of(history, "whole", "runs")
    points = np.linspace(-1, 1, curves.shape[1])
    axes.plot(points, np.sin(np.exp(np.pi * points)), **TARGET)
    stuck = stalled_of(history, "whole")
    for curve, at_fault in [
        *zip(curves[live & ~stuck], itertools.repeat(False)),
        *zip(curves[stuck], itertools.repeat(True)),
    ]:
        style = {"color": STUCK, "linewidth": 1.3, "linestyle": "--"} if at_fault else {"color": RUN, "linewidth": 0.8}
        axes.plot(points, curve, **style)
    if stuck.any():
        seeds = [f"{seed:.0f}" for seed in reading.field(history, "whole", "runs", "seeds")[stuck]]
        words = f"seed {seeds[0]} stalls" if len(seeds) == 1 else f"seeds {' and '.join(seeds)}\nstall"
        axes.text(0.03, 0.04, words, transform=axes.transAxes, color=STUCK, va="bottom")
    axes.set(xlabel="input x", ylabel="output", xticks=[-1, 0, 1], yticks=[-1, 0, 1])


def draw_differences(axes: Any, history: dict) -> None:
    """Root mean square differences of two runs' predictions, in standard deviations of the target, by kind of pair."""
    found: dict[str, list[float]] = {"both\nsolve": [], "one\nstalls": [], "both\nstall": [], "one\nstart": []}
    *by_stalled, control = found
    for name in GROUPS:
        live = live_of(history, "whole", name)
        curves = reading.field(history, "whole", name, "predictions")[live]
        stuck = stalled_of(history, "whole")[live] if name == "runs" else np.zeros(live.sum(), bool)
        target = np.sin(np.exp(np.pi * np.linspace(-1, 1, curves.shape[1])))
        for (one, first), (other, second) in itertools.combinations(zip(curves, stuck, strict=True), 2):
            kind = control if name == "control" else by_stalled[int(first) + int(second)]
            found[kind].append(float(np.sqrt(np.mean((one - other) ** 2)) / target.std()))
    shown = {words: values for words, values in found.items() if values}
    for place, (words, values) in enumerate(shown.items()):
        x = figures.scattered(place, np.array(values), width=0.5)
        axes.plot(x, values, color={by_stalled[0]: RUN, control: CONTROL}.get(words, STUCK), **POINTS)
    axes.set_yscale("log")
    if found[control]:
        axes.axhline(max(found[control]), **WIDEST)
        axes.annotate("largest of one start", (-0.5, max(found[control])), (0, 3), textcoords="offset points")
    axes.set_xticks(range(len(shown)), list(shown))
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("RMS difference (std of f1)")
    figures.log_ticks(axes.yaxis)


def draw_distances(history: dict) -> Any:
    """Distances of the ends over all pairs of live runs, before and after matching units."""
    if "whole" not in history["results"]:
        return figures.unmeasured("the whole model", figures.caveats(history, list(history["units"])))
    figure, panels = figures.grid(1, 1, 2.1)
    axes = panels[0, 0]
    columns = [
        (name, quantity, f"{GROUPS[name]},\n{words}")
        for name in GROUPS
        for quantity, words in (("distances", "as trained"), ("matched_distances", "matched"))
    ]
    draw_strips(axes, history, columns)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("distance of two ends")
    figures.key(figure, {"a pair of live runs": POINTS, "median": MEDIAN})
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


def draw_strips(axes: Any, history: dict, columns: Sequence[tuple[str, str, str]]) -> None:
    """A strip of points for each of the columns (group, quantity, words below it), with its median."""
    for place, (name, quantity, _) in enumerate(columns):
        values = reading.field(history, "whole", name, quantity)
        x = figures.scattered(place, values, width=0.5)
        axes.plot(x, values, color=RUN if name == "runs" else CONTROL, **POINTS)
        if values.size:
            axes.plot([place - 0.35, place + 0.35], [np.median(values)] * 2, **MEDIAN)
    axes.set_xticks(range(len(columns)), [words for *_, words in columns])
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.grid(visible=False, axis="x")


FIGURES = {
    "param_pca_paths": draw_plane,
    "param_pca_ends": draw_ends,
    "param_pca_distances": draw_distances,
    "param_pca_surface": draw_over_loss,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
