"""Draw how three nets of 90 or 91 parameters fit f1 and f2, from the history of function_fit.py.

function_fit_loss       training loss against epoch: over the nets that are live at birth, and the dead ones apart
function_fit_curves     what the median net of each kind predicts, in one chart with the truth
function_fit_best       the same of the best net of each kind
function_fit_end_loss   the last loss of every net

    python hw1_1/plot_function_fit.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

from hw1_1 import function_fit

NETS = ("shallow", "medium", "deep")
FUNCTIONS = tuple(function_fit.FUNCTIONS)
ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh"}
GROUPS = [f"{function}/{activation}/{net}" for function in FUNCTIONS for activation in ACTIVATIONS for net in NETS]
WORTH_SAYING = 10  # times as high as another: a median loss whose lead is written on the curves
LOSS = "mean squared error"
TARGET = {"color": "#DDDDDD", "linewidth": 4}  # pale and wide: in grey print too it is no net
DEAD_LINE = {"color": "black", "linestyle": ":"}
LIVE = {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.6, "markeredgewidth": 0}
DEAD = {"linestyle": "", "marker": "x", "markersize": 3, "color": "#777777", "markeredgewidth": 0.7}
ALL = {"linestyle": "-", "color": "black", "linewidth": 1.5}
LIVE_ONLY = {"linestyle": ":", "color": "black", "linewidth": 1.5}


def measured(history: dict, function: str, activation: str) -> dict[str, str]:
    """{net: unit} of the nets that are measured on this function with this activation."""
    units = {net: f"{function}/{activation}/{net}" for net in NETS}
    return {net: unit for net, unit in units.items() if unit in history["results"]}


def panels_of(history: dict, height: float) -> tuple[Any, dict[tuple[str, str], Any]]:
    """A figure with a panel for each function (row) and activation (column) of which something is measured."""
    pairs = measured_pairs(history)
    rows = [function for function in FUNCTIONS if any(pair[0] == function for pair in pairs)]
    columns = [activation for activation in ACTIVATIONS if any(pair[1] == activation for pair in pairs)]
    figure, grid = figures.grid(len(rows), len(columns), height * len(rows) + 0.4, sharex=True, sharey=True)
    panels = {}
    for axes, pair in zip(grid.flat, ((row, column) for row in rows for column in columns), strict=True):
        if pair not in pairs:
            axes.remove()
            continue
        axes.set_yscale("log")
        panels[pair] = axes
    for axes in grid[:, 0]:
        axes.set_ylabel(LOSS)
    figures.letters(panels.values(), [f"{function}, {ACTIVATIONS[activation]}" for function, activation in pairs])
    figures.subtitle(figure, figures.caveats(history, GROUPS))
    return figure, panels


def measured_pairs(history: dict) -> list[tuple[str, str]]:
    """The pairs of function and activation of which at least one net is measured."""
    return [(function, name) for function in FUNCTIONS for name in ACTIVATIONS if measured(history, function, name)]


def seeds_of(history: dict) -> int:
    """How many nets of each kind are trained."""
    return len(reading.field(history, next(iter(history["results"])), "end_loss"))


def any_dead(history: dict) -> bool:
    """Whether any net is dead at birth."""
    return any(reading.field(history, unit, "dead_at_birth").any() for unit in history["results"])


def add_headroom(panels: dict[tuple[str, str], Any]) -> None:
    """Room above the dead nets, the highest of all, for words about them. The panels share their limits."""
    axes = next(iter(panels.values()))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.28)


def draw_loss(history: dict) -> Any:
    """Training loss against epoch, all three nets: live at birth as median and band, dead at birth as one line."""
    figure, panels = panels_of(history, 1.75)
    ends = {axes: draw_losses(axes, history, measured(history, *pair)) for pair, axes in panels.items()}
    add_headroom(panels)
    for (_, activation), axes in panels.items():
        if activation == "tanh":
            point_at_lead(axes, ends[axes])
    for axes in at_the_foot(panels):
        axes.set_xlabel("epoch (0: before training)")
    entries = {
        f"median of those live at birth, of {seeds_of(history)} nets": {},
        "10 to 90 % of them": {"linewidth": 7, "alpha": figures.BAND_ALPHA},
    }
    figures.key(figure, entries | ({"median, born dead": DEAD_LINE} if any_dead(history) else {}))
    for axes in panels.values():
        figures.log_ticks(axes.yaxis)
    figure.align_ylabels()
    figures.label_ends(figure, ends)
    return figure


def draw_losses(axes: Any, history: dict, units: dict[str, str]) -> dict[str, float]:
    """One panel; returns the last median loss of the live nets by net."""
    ends, dead_losses, counts = {}, [], []
    for net, unit in units.items():
        epochs, loss = reading.field(history, unit, "epochs"), reading.field(history, unit, "loss")
        dead = reading.field(history, unit, "dead_at_birth").astype(bool)
        if not dead.all():
            figures.band(axes, epochs, loss[~dead], figures.TENTHS, **figures.net_style(net))
            ends[net] = float(np.median(loss[~dead][:, -1]))
        if dead.any():
            dead_losses.append(loss[dead])
            counts.append(f"{dead.sum()} of {len(dead)} {net}")
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)  # a log axis has no place for epoch 0
    axes.set_xlim(0, epochs[-1])
    axes.set_xticks([0, *10 ** np.arange(int(np.log10(epochs[-1])) + 1)])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    if dead_losses:
        middle = np.median(np.concatenate(dead_losses), axis=0)
        axes.plot(epochs, middle, **DEAD_LINE)
        words = "born dead: " + ",\n".join(reversed(counts))
        axes.annotate(words, (epochs[-1], middle[-1]), (0, 3), textcoords="offset points", ha="right", va="bottom")
    return ends


def at_the_foot(panels: dict[tuple[str, str], Any]) -> list[Any]:
    """The lowest panel of each column."""
    return list({activation: axes for (_, activation), axes in panels.items()}.values())


def point_at_lead(axes: Any, ends: dict[str, float]) -> None:
    """An arrow from the shallow net's last median to the lowest, with how many times lower that is."""
    finite = np.isfinite(list(ends.values())).all()
    if "shallow" not in ends or not finite or ends["shallow"] < WORTH_SAYING * min(ends.values()):
        return
    lowest, where = min(ends, key=ends.get), axes.get_yaxis_transform()
    arrow = {"arrowstyle": "->", "linewidth": 0.9, "shrinkA": 3}
    axes.annotate("", (0.95, ends[lowest]), (0.95, ends["shallow"]), where, arrowprops=arrow)
    times = float(f"{ends['shallow'] / ends[lowest]:.2g}")
    words = f"{lowest} ends {times:,.0f} times\nbelow shallow"
    axes.text(0.99, 0.97, words, transform=axes.transAxes, ha="right", va="top")


def draw_curves(history: dict, name: str = "median") -> Any:
    """Predicted curves over the truth, of the net of each kind that is called so: median or best."""
    pairs = measured_pairs(history)
    figure, panels = panels_of(history, 1.1)
    for pair, axes in panels.items():
        axes.set_yscale("linear")
        draw_curve(axes, history, measured(history, *pair), name)
    low, high = axes.get_ylim()
    axes.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], ylim=(low - 0.3 * (high - low), high))  # room for the words
    for axes in at_the_foot(panels):
        axes.set_xlabel("input x")
    for axes in figure.axes:
        if axes.get_ylabel():
            axes.set_ylabel("output")
    nets = {net: figures.net_style(net) for net in NETS if any(net in measured(history, *pair) for pair in pairs)}
    figures.key(figure, {"target": TARGET} | nets)
    return figure


def draw_best(history: dict) -> Any:
    """Predicted curves of the net of lowest loss of each kind."""
    return draw_curves(history, "best")


def draw_curve(axes: Any, history: dict, units: dict[str, str], name: str) -> None:
    """One panel: the target, a net of each kind, and their losses, in the order of the key."""
    for place, (net, unit) in enumerate(units.items()):
        inputs = reading.field(history, unit, "curve_inputs")
        if place == 0:
            axes.plot(inputs, reading.field(history, unit, "curve_target"), **TARGET)
        style = figures.net_style(net) | {"zorder": 3 - 0.1 * place}  # solid lines under broken ones
        axes.plot(inputs, reading.field(history, unit, "curves", name), **style)
        seed = int(reading.field(history, unit, "curve_seeds", name))
        dead = reading.field(history, unit, "dead_at_birth")[seed]
        words = "dead" if dead else figures.short(reading.field(history, unit, "end_loss")[seed])
        words = f"loss {words}" if place == 0 else words
        axes.text(0.02 + 0.4 * place, 0.04, words, transform=axes.transAxes, color=figures.net_colour(net))


def draw_end_loss(history: dict) -> Any:
    """The last loss of every net: a strip for each kind, dead at birth as crosses, medians as bars."""
    figure, panels = panels_of(history, 1.15)
    for axes in figure.axes:
        if axes.get_ylabel():
            axes.set_ylabel("loss at the end")
    for pair, axes in panels.items():
        units = measured(history, *pair)
        for place, unit in enumerate(units.values()):
            draw_strip(axes, history, unit, place)
        axes.set_xticks(range(len(units)), list(units))
        axes.set_xlim(-0.6, len(units) - 0.4)
        axes.grid(visible=False, axis="x")
    for axes in at_the_foot(panels):
        axes.set_xlabel(f"net, {seeds_of(history)} seeds each")
    add_headroom(panels)
    for axes in panels.values():
        figures.log_ticks(axes.yaxis)
    entries = {"live at birth": LIVE, "median of all": ALL}
    if any_dead(history):
        entries |= {"median of the live": LIVE_ONLY, "born dead": DEAD}
    figures.key(figure, entries)
    figure.align_ylabels()
    return figure


def draw_strip(axes: Any, history: dict, unit: str, place: int) -> None:
    """The end losses of one unit around x = place."""
    end_loss = reading.field(history, unit, "end_loss")
    dead = reading.field(history, unit, "dead_at_birth").astype(bool)
    x = figures.scattered(place, end_loss, width=0.6)
    colour = figures.net_style(unit.rpartition("/")[2])["color"]
    axes.plot(x[~dead], end_loss[~dead], **LIVE | {"color": colour})
    axes.plot(x[dead], end_loss[dead], **DEAD)
    if dead.any():
        above = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
        axes.annotate(f"{dead.sum()} of {len(dead)}", (place, end_loss[dead].max()), (0, 4), **above)
    axes.plot([place - 0.4, place + 0.4], [np.median(end_loss)] * 2, **ALL)
    if dead.any() and not dead.all():
        axes.plot([place - 0.4, place + 0.4], [np.median(end_loss[~dead])] * 2, **LIVE_ONLY)


FIGURES = {
    "function_fit_loss": draw_loss,
    "function_fit_curves": draw_curves,
    "function_fit_best": draw_best,
    "function_fit_end_loss": draw_end_loss,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
