"""Draw generalization against the number of parameters, from the history of param_count.py.

param_count            loss and accuracy by size, a mark a seed
param_count_noise      nets that learn wrong labels: test loss, labels learnt and test error by size
param_count_reference  all of the first figure beside running values, an earlier report's values, and the gaps
param_count_epochs     nets that learn wrong labels: training loss by size, test results by epoch

    python hw1_3/plot_param_count.py
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, settings

import numpy as np

from hw1_3 import ten_nets

TRAINING = {"color": "#004488", "linestyle": "-", "linewidth": 1.3}
TESTING = {"color": "#BB5566", "linestyle": "--", "linewidth": 1.3}
RUNNING = {"color": "#004488", "linestyle": ":", "linewidth": 1.1}
BEST = {"color": "#BB5566", "linestyle": ":", "linewidth": 1.1}
BETWEEN = {"color": "black", "linestyle": "-", "linewidth": 1.3}
SEED = {"linestyle": "", "markersize": 3, "alpha": 0.45, "markeredgewidth": 0}
MARKERS = {"train": "o", "test": "s", "gap": "D"}
HOLLOW = {"linestyle": "", "markersize": 5, "markerfacecolor": "none", "markeredgewidth": 0.9, "zorder": 4}
DEAD = {"color": "#777777", "linestyle": "", "marker": "x", "markersize": 3.5, "markeredgewidth": 0.7}
FITS = {"color": "#777777", "linestyle": "-.", "linewidth": 0.8}
CHANCE = {"color": "#777777", "linestyle": ":", "linewidth": 0.8}
GUESSING = 0.1  # share of ten classes
SHOWN_WIDTHS = 7  # of the panel by epoch


def plain(style: dict) -> dict:
    """The colour alone."""
    return {"color": style["color"]}


def points(
    axes: Any,
    nets: dict[int, dict[str, np.ndarray]],
    values: list[np.ndarray],
    style: dict,
    kind: str,
    how: Any = np.mean,
) -> None:
    """A mark a seed at each size, a cross where it is dead, and a line through the means, or `how`, of the live.

    values: (seeds,) of each of the nets; kind: of MARKERS.
    """
    sizes = sizes_of(nets)
    for net, size, each in zip(nets.values(), sizes, values, strict=True):
        dead = net["dead"].astype(bool)
        axes.plot(np.full(sum(~dead), size), each[~dead], marker=MARKERS[kind], **SEED | plain(style))
        axes.plot(np.full(sum(dead), size), each[dead], **DEAD)
    single = {"marker": MARKERS[kind]} if len(sizes) == 1 else {}
    axes.plot(
        sizes, [middle(net, each, how) for net, each in zip(nets.values(), values, strict=True)], **style | single
    )


def middle(net: dict[str, np.ndarray], values: np.ndarray, how: Any = np.mean) -> Any:
    """Mean, or another `how`, over the seeds that are live at the end, (...) of (n, ...); NaN where none is."""
    live = ~net["dead"].astype(bool)
    return how(values[live], axis=0) if live.any() else np.full(values.shape[1:], np.nan)


def sizes_of(nets: dict[int, dict[str, np.ndarray]]) -> list[float]:
    """Parameters of each of the nets."""
    return [float(net["parameters"]) for net in nets.values()]


def size_axis(axes: Any) -> None:
    """A log axis of parameters, with numbers at the decades alone."""
    from matplotlib import ticker

    axes.set(xscale="log", xlabel="parameters")
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def any_dead(nets: dict[int, dict[str, np.ndarray]]) -> dict[str, dict]:
    """The key's entry for dead nets, where there is one."""
    return {"dead: its output is constant": DEAD} if any(net["dead"].any() for net in nets.values()) else {}


def draw_sizes(history: dict) -> Any:
    """Loss with its lowest value by epoch, and accuracy; means of the last epochs."""
    nets = ten_nets.by_width(history)
    if not nets:
        return figures.unmeasured("nets that learn all images", figures.caveats(history, []))
    figure, ((loss, accuracy),) = figures.grid(1, 2, 2.2)
    for axes, quantity, unit in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for data, style in (("train", TRAINING), ("test", TESTING)):
            values = [unit * ten_nets.at_the_end(net, f"{data}_{quantity}") for net in nets.values()]
            points(axes, nets, values, style, data)
        size_axis(axes)
    lowest = [middle(net, net["test_loss"].min(axis=1)) for net in nets.values()]
    loss.plot(sizes_of(nets), lowest, **BEST)
    loss.set(yscale="log", ylabel="loss (nats)")
    figures.log_ticks(loss.yaxis)
    accuracy.set_ylabel("accuracy (%)")
    place = len(nets) // 2
    ends = [middle(net, ten_nets.at_the_end(net, "test_loss")) for net in nets.values()]
    if ends[place] > 1.1 * lowest[place]:
        size, net = sizes_of(nets)[place], list(nets.values())[place]
        between, level = np.sqrt(ends[place] * lowest[place]), middle(net, ten_nets.at_the_end(net, "test_accuracy"))
        figures.note(loss, "risen since the best epoch ...", (size, between), (0.62, 0.45))
        figures.note(accuracy, "... but accuracy has not fallen", (size, 100 * level), (0.6, 0.4))
    figures.letters((loss, accuracy), ("loss", "accuracy"))
    entries = {
        "training": TRAINING | {"marker": MARKERS["train"]},
        "test": TESTING | {"marker": MARKERS["test"]},
        "test, lowest of all epochs": BEST,
    }
    figures.key(figure, entries | any_dead(nets))
    figures.subtitle(figure, remark(history, noisy=False))
    return figure


def draw_reference(history: dict) -> Any:
    """Loss and accuracy above, the gaps between test and training below; means of the last epochs."""
    nets = ten_nets.by_width(history)
    if not nets:
        return figures.unmeasured("nets that learn all images", figures.caveats(history, []))
    figure, panels = figures.grid(2, 2, 3.5, sharex=True)
    sizes = sizes_of(nets)
    known = {width: float(net["parameters"]) for width, net in nets.items() if width in ten_nets.REFERENCE}
    for axes, quantity, unit in zip(panels[0], ("loss", "accuracy"), (1, 100), strict=True):
        for data, style in (("train", TRAINING), ("test", TESTING)):
            values = [unit * ten_nets.at_the_end(net, f"{data}_{quantity}") for net in nets.values()]
            points(axes, nets, values, style, data)
            theirs = [unit * ten_nets.REFERENCE[width][f"{data}_{quantity}"] for width in known]
            axes.plot(list(known.values()), theirs, marker=MARKERS[data], **HOLLOW | plain(style))
        running = [unit * ten_nets.at_the_end(net, f"running_{quantity}") for net in nets.values()]
        axes.plot(sizes, [middle(net, each) for net, each in zip(nets.values(), running, strict=True)], **RUNNING)
    for axes, quantity, unit in zip(panels[1], ("loss", "accuracy"), (1, 100), strict=True):
        points(axes, nets, [unit * ten_nets.gap(net, quantity) for net in nets.values()], BETWEEN, "gap")
        running = [unit * middle(net, ten_nets.running_gap(net, quantity)) for net in nets.values()]
        axes.plot(sizes, running, **RUNNING | plain(BETWEEN))
        for width, size in known.items():
            theirs = ten_nets.REFERENCE[width]
            difference = unit * abs(theirs[f"test_{quantity}"] - theirs[f"train_{quantity}"])
            axes.plot(size, difference, marker=MARKERS["gap"], **HOLLOW | plain(BETWEEN))
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        size_axis(axes)
    panels[0, 0].set(yscale="log", ylabel="loss (nats)")
    panels[0, 1].set_ylabel("accuracy (%)")
    panels[1, 0].set_ylabel("loss (nats)")
    panels[1, 1].set_ylabel("accuracy (percentage points)")
    figures.log_ticks(panels[0, 0].yaxis)
    titles = ("loss", "accuracy", "gap in loss: test less training", "gap in accuracy: training less test")
    figures.letters(panels.flat, titles)
    entries = {
        "training": TRAINING | {"marker": MARKERS["train"]},
        "training, running": RUNNING,
        "test": TESTING | {"marker": MARKERS["test"]},
        "gap": BETWEEN | {"marker": MARKERS["gap"]},
        "gap, running": RUNNING | plain(BETWEEN),
        "hollow: an earlier report": HOLLOW | {"marker": MARKERS["train"]},
    }
    figures.key(figure, entries | any_dead(nets), columns=-(-len(entries | any_dead(nets)) // 2))
    figures.subtitle(figure, remark(history, noisy=False))
    figure.align_ylabels()
    return figure


def remark(history: dict, noisy: bool) -> str:
    """What a reader must know of this history before these of its nets."""
    return figures.caveats(history, [unit for unit in history["units"] if unit.startswith("noisy/") == noisy])


def draw_noise(history: dict) -> Any:
    """By size at the end: test loss, share of wrong labels learnt, and test error beside that of the best epoch."""
    nets = ten_nets.by_width(history, noisy=True)
    if not nets:
        return figures.unmeasured("nets that learn wrong labels", figures.caveats(history, []))
    figure, ((loss, learnt, error),) = figures.grid(1, 3, 2.3, width_ratios=(1.6, 1, 1))
    points(loss, nets, [net["test_loss"][:, -1] for net in nets.values()], TESTING, "test", np.median)
    points(learnt, nets, [100 * net["wrong_learnt"][:, -1] for net in nets.values()], TRAINING, "train", np.median)
    learnt.axhline(100 * GUESSING, **CHANCE)
    points(error, nets, [100 * (1 - net["test_accuracy"][:, -1]) for net in nets.values()], TESTING, "test", np.median)
    error.plot(sizes_of(nets), [100 * (1 - middle(net, best(net), np.median)) for net in nets.values()], **BEST)
    fitting = ten_nets.fitting_width(nets)
    for axes in (loss, learnt, error):
        size_axis(axes)
        if fitting is not None:
            axes.axvline(float(nets[fitting]["parameters"]), **FITS)
    loss.set_ylabel("loss (nats)")
    learnt.set_ylabel("share (%)")
    error.set_ylabel("error (%)")
    if fitting is not None and list(nets)[-1] != fitting:
        medians = [float(middle(net, net["test_loss"][:, -1], np.median)) for net in nets.values()]
        place = list(nets).index(fitting)
        figures.note(loss, "just large enough", (sizes_of(nets)[place], medians[place]), (0.74, 0.93))
        if medians[-1] < medians[place]:
            after = (place + len(nets)) // 2
            figures.note(loss, "larger still:\nlower again", (sizes_of(nets)[after], medians[after]), (0.78, 0.58))
    figures.letters((loss, learnt, error), ("test loss", "wrong labels learnt", "test error"))
    entries = {
        "test, last epoch": TESTING | {"marker": MARKERS["test"]},
        "test, best epoch": BEST,
        f"guessing ({100 * GUESSING:g} %)": CHANCE,
    }
    entries |= {f"{100 * ten_nets.FITTED:g} % of labels learnt": FITS} if fitting is not None else {}
    figures.key(figure, entries | any_dead(nets), columns=3)
    figures.subtitle(figure, remark(history, noisy=True))
    return figure


def draw_epochs(history: dict) -> Any:
    """Training loss and both errors by size at the end, and test loss and error by epoch."""
    nets = ten_nets.by_width(history, noisy=True)
    if not nets:
        return figures.unmeasured("nets that learn wrong labels", figures.caveats(history, []))
    figure, ((fit, loss_by_epoch, error_by_epoch),) = figures.grid(1, 3, 2.1)
    points(fit, nets, [net["train_loss"][:, -1] for net in nets.values()], TRAINING, "train", np.median)
    size_axis(fit)
    fit.set_yscale("log")
    figures.log_ticks(fit.yaxis)
    lasts = by_epoch(loss_by_epoch, nets, lambda net: net["test_loss"])
    errors = by_epoch(error_by_epoch, nets, lambda net: 100 * (1 - net["test_accuracy"]))
    for axes in (fit, loss_by_epoch):
        axes.set_ylabel("loss (nats)")
    error_by_epoch.set_ylabel("error (%)")
    titles = ("training loss at the end", "test loss by epoch", "test error by epoch")
    figures.letters((fit, loss_by_epoch, error_by_epoch), titles)
    figures.subtitle(figure, remark(history, noisy=True))
    widths = list(errors)
    outer = {width: errors[width] for width in (widths[0], widths[-1])}  # the others end too close to each other
    figures.label_ends(figure, {loss_by_epoch: lasts, error_by_epoch: outer}, colours_of(nets))
    return figure


def best(net: dict[str, np.ndarray]) -> np.ndarray:
    """(n,): the highest test accuracy of all records."""
    return net["test_accuracy"].max(axis=1)


def by_epoch(axes: Any, nets: dict[int, dict[str, np.ndarray]], quantity: Callable) -> dict[str, float]:
    """Median by epoch for the shown widths. quantity: a net's (n, epochs). Returns the last medians, by width."""
    lasts = {}
    for width, colour in colours_of(nets).items():
        values = middle(nets[int(width)], quantity(nets[int(width)]), np.median)
        look = figures.LINE_STYLES[len(lasts) % len(figures.LINE_STYLES)]
        axes.plot(nets[int(width)]["epochs"], values, color=colour, linewidth=1.2, linestyle=look)
        lasts[width] = float(values[-1])
    axes.margins(x=0)
    axes.set(xscale="log", xlabel="epoch")
    figures.log_ticks(axes.xaxis)
    return lasts


def colours_of(nets: dict[int, dict[str, np.ndarray]]) -> dict[str, Any]:
    """The widths whose lines by epoch are shown, evenly among all, and the colour of each."""
    import matplotlib

    shown = [list(nets)[place] for place in np.unique(np.linspace(0, len(nets) - 1, SHOWN_WIDTHS).round().astype(int))]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(shown)))
    return dict(zip(map(str, shown), colours, strict=True))


FIGURES = {
    "param_count": draw_sizes,
    "param_count_noise": draw_noise,
    "param_count_reference": draw_reference,
    "param_count_epochs": draw_epochs,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
