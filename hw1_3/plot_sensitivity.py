"""Draw loss, accuracy and sensitivity against batch size, from the history of sensitivity.py.

sensitivity            test loss, accuracy, mean norm of the softmax outputs' Jacobian, a row a budget
sensitivity_measures   training loss, the norm's median, the logits' Jacobian, the gradient of the mean loss, the way
                       from the initial weights

    python hw1_3/plot_sensitivity.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

from hw1_3 import batch_nets

BUDGETS = {"steps": "equal updates\n({:,})", "epochs": "equal passes\n({:,})", "loss": "equal training loss\n({:g})"}
TARGETS = {"steps": "steps", "epochs": "epochs", "loss": "target_loss"}  # settings that the words above name
LINES = {
    "train": {"color": "#004488", "linestyle": "-", "marker": "o", "markersize": 2.2},
    "test": {"color": "#BB5566", "linestyle": "--", "marker": "s", "markersize": 2.2},
    "net": {"color": "black", "linestyle": "-", "marker": "o", "markersize": 2.2},  # of the net, not of images
}
SEED = {"linestyle": "", "markersize": 3, "alpha": 0.3, "markeredgewidth": 0}
UNREACHED = {"color": "#555555", "linestyle": "", "marker": "x", "markersize": 4, "markeredgewidth": 0.8}
COUNT = {"color": "#555555", "ha": "center", "va": "top"}
CLAIMED = {"color": "#999999", "linestyle": ":", "linewidth": 0.9, "zorder": 0}  # under the marks
ROOM = 0.16  # of the height of an axis, for crosses below its points and for counts above them
DECADES = 10  # an axis is logarithmic where its largest value is more than so many times its smallest
COLUMNS = {  # of each figure: title of a column and what it shows
    "sensitivity": {
        "test loss\n(nats)": (("test", "loss"),),
        "accuracy\n(%)": (("train", "accuracy"), ("test", "accuracy")),
        "softmax Jac.,\ntest images": (("test", "softmax", "mean"),),
        "softmax Jac.,\ntraining images": (("train", "softmax", "mean"),),
    },
    "sensitivity_measures": {
        "training\nloss (nats)": (("train", "loss"),),
        "softmax Jac.,\nmedian": (("train", "softmax", "median"), ("test", "softmax", "median")),
        "logit\nJacobian": (("train", "logits", "mean"), ("test", "logits", "mean")),
        "gradient of\nmean loss": (("train", "mean_loss_gradient"), ("test", "mean_loss_gradient")),
        "distance\nfrom start": (("distance",),),
    },
}


def draw_panel(axes: Any, nets: batch_nets.Nets, paths: tuple[tuple[str, ...], ...]) -> None:
    """One quantity against batch size: every seed faint, medians joined.

    A cross stands where no seed reached the loss, and how many did where some did not.
    """
    shown = []
    for path in paths:
        style = LINES.get(path[0], LINES["net"])
        scale = 100 if path[-1] == "accuracy" else 1
        by_size = {size: scale * np.array(list(batch_nets.values_of(nets, size, path).values())) for size in nets}
        values = {size: each for size, each in by_size.items() if len(each)}
        axes.plot(list(values), [np.median(each) for each in values.values()], **style | {"linewidth": 1.1})
        for size, each in values.items():
            axes.plot(np.full(len(each), size), each, **style | SEED)
            shown += each.tolist()
    missing, below = unreached(nets), axes.get_xaxis_transform()
    axes.plot(missing, np.full(len(missing), 0.05), transform=below, **UNREACHED)
    partly = partly_reached(nets)
    for size, words in partly.items():
        axes.text(size, 0.99, words, transform=below, **COUNT)
    axes.margins(0.06, 0.1)
    axes.set_xscale("log")
    axes.set_xticks([1, 100, 10_000], ["1", "100", "10⁴"])
    axes.set_xticks([10, 1000], 2 * [""], minor=True)
    positive = [value for value in shown if value > 0]
    if positive and max(positive) > DECADES * min(positive):
        axes.set_yscale("log", nonpositive="mask")
    make_room(axes, bool(missing), bool(partly))
    if axes.get_yscale() == "log":
        figures.log_ticks(axes.yaxis)
    else:
        axes.yaxis.get_major_locator().set_params(nbins=4)


def make_room(axes: Any, below: bool, above: bool) -> None:
    """Move the ends of the axis apart, so that crosses below and counts above cover no point."""
    low, high = axes.yaxis.get_transform().transform(axes.get_ylim())
    room = ROOM * (high - low)
    axes.set_ylim(axes.yaxis.get_transform().inverted().transform([low - room * below, high + room * above]))


def unreached(nets: batch_nets.Nets) -> list[int]:
    """The batch sizes of which no seed was measured."""
    return [size for size, found in nets.items() if all(one is None for one in found.values())]


def partly_reached(nets: batch_nets.Nets) -> dict[int, str]:
    """{batch size: such as 6/8}, where some seeds were measured and some were not."""
    counts = {size: sum(one is not None for one in found.values()) for size, found in nets.items()}
    return {size: f"{count}/{len(nets[size])}" for size, count in counts.items() if 0 < count < len(nets[size])}


def draw(history: dict, name: str) -> Any:
    """A figure with a row for each budget and a column for each entry of COLUMNS[name]."""
    columns = COLUMNS[name]
    figure, panels = figures.grid(len(BUDGETS), len(columns), 4.7, sharex=True)
    all_nets = {budget: batch_nets.nets_of(history, budget) for budget in BUDGETS}
    for row, (budget, words) in zip(panels, BUDGETS.items(), strict=True):
        for axes, paths in zip(row, columns.values(), strict=True):
            draw_panel(axes, all_nets[budget], paths)
            axes.axvline(batch_nets.BEST, **CLAIMED)
        row[0].set_ylabel(words.format(reading.setting(history, TARGETS[budget])))
    for axes in panels[-1]:
        axes.set_xlabel("batch size")
    figures.letters(panels.flat, list(columns) * len(BUDGETS))
    entries = {
        "training images": LINES["train"],
        "test images": LINES["test"],
        f"batch size {batch_nets.BEST}": CLAIMED,
    }
    if any(map(unreached, all_nets.values())):
        entries["loss not reached"] = UNREACHED
    if any(map(partly_reached, all_nets.values())):
        entries["n/m: seeds that reached it"] = {"linestyle": ""}
    figures.key(figure, entries, columns=3 if len(entries) > 4 else 0)
    figures.subtitle(figure, figures.count_caveat(history, list(history["units"])))
    figure.align_ylabels(panels[:, 0])
    return figure


FIGURES = tuple(COLUMNS)


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, draw(drawing.history, name))


if __name__ == "__main__":
    with settings.one_message():
        main()
