"""Draw how a network fits shuffled labels, from the history of random_labels.py.

random_labels        all labels shuffled: loss and accuracy; a share shuffled: test accuracy by epoch, peak and end
random_labels_more   true labels: loss; shuffled ones: training loss close up, and accuracy around chance

    python hw1_3/plot_random_labels.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, history, reading, settings

import numpy as np

from hw1_3 import random_labels

CHANCE = 0.1
UNIFORM_LOSS = float(np.log(10))  # nats: of an answer that gives each class one tenth
REFERENCE_LOSS = random_labels.REFERENCE["loss"]  # what the reference reached in training
TRAINING = {"color": "black", "linewidth": 1.1}
RUNNING = {"color": "#888888", "linewidth": 0.8, "linestyle": ":"}
TESTING = {"color": "#BB5566", "linewidth": 1.1, "linestyle": "--"}
BY_TRUTH = {"color": "#004D43", "linewidth": 0.9, "linestyle": "-.", "zorder": 3}
TRUE_LABELS = {"color": "#004488", "linewidth": 1.1, "linestyle": "-."}  # test images, of nets that learnt true labels
LEVEL = {"color": "#555555", "linewidth": 0.8, "linestyle": (0, (1, 1.5)), "zorder": 1}
SEED = {"linestyle": "", "markersize": 4, "alpha": 0.8, "markeredgewidth": 0}
END = {"color": "#BB5566", "marker": "s", "linestyle": "--"}
PEAK = {"color": "#004488", "marker": "o"}
MARK = {"color": "black", "marker": "o", "markersize": 4.5, "markerfacecolor": "white", "zorder": 3}
THINNED = 10  # one epoch in so many is drawn close up, as dashes are lost in what jumps at every epoch,
MANY = 60  # where there are more epochs than this


def level(axes: Any, value: float, words: str, above: bool = True) -> None:
    """A thin line at a value, named above or below its right end."""
    axes.axhline(value, **LEVEL)
    place = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    side = {"xytext": (-2, 2 if above else -2), "va": "bottom" if above else "top"}
    ground = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5}
    axes.annotate(words, (1, value), ha="right", color="#555555", bbox=ground, **place, **side)


def curve(axes: Any, kept: dict, unit: str, name: str, style: dict, scale: float = 1, every: int = 1) -> None:
    """One quantity of a training by epoch, from 1."""
    values = scale * reading.field(kept, unit, name)
    epochs = np.arange(1, len(values) + 1)
    axes.plot(epochs[::every], values[::every], **style | ({"marker": "."} if len(values) == 1 else {}))


def unmeasured(axes: Any, words: str) -> None:
    """Say in a panel what is missing."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, f"{words}:\nnot measured yet", ha="center", va="center", transform=axes.transAxes)


# ------------------------------------------------------------------------------------------- all images


def draw_labels(kept: dict) -> Any:
    """Above all labels shuffled: loss and accuracy; below a share of them: test accuracy by epoch, its peak and end."""
    figure, panels = figures.grid(2, 2, 3.5)
    full, shares, lasts, colours = reading.units_of(kept, "full"), shares_of(kept), {}, {}
    if full:
        draw_full(kept, full, *panels[0])
    if shares:
        lasts, colours = draw_epoch_curves(panels[1, 0], kept, shares)
        draw_ends(panels[1, 1], kept, shares)
    for there, words, row in ((full, "all labels shuffled", panels[0]), (shares, "a share shuffled", panels[1])):
        for axes in () if there else row:
            unmeasured(axes, words)
    titles = ["all labels shuffled: loss", "all labels shuffled: accuracy", "by share of labels shuffled"]
    figures.letters(panels.flat, [*titles, "at its peak and at the end"])
    entries = {"training": TRAINING, "test": TESTING}
    entries |= {"test, net with true labels": TRUE_LABELS} if reading.units_of(kept, "true") else {}
    figures.key(figure, entries)
    planned = [history.group_of(unit) for unit in kept["units"]]
    figures.subtitle(figure, figures.caveats(kept, list(dict.fromkeys(planned))))
    if lasts:
        figures.label_ends(figure, {panels[1, 0]: lasts}, colours)
    return figure


def draw_full(kept: dict, units: list[str], loss: Any, accuracy: Any) -> None:
    """Loss, log, and accuracy by epoch, log, of training and test; beside them the test results with true labels."""
    for unit in units:
        for name, style in (("test", TESTING), ("train", TRAINING)):
            curve(loss, kept, unit, f"{name}_loss", style)
            curve(accuracy, kept, unit, f"{name}_accuracy", style, 100)
    for unit in reading.units_of(kept, "true"):
        curve(loss, kept, unit, "test_loss", TRUE_LABELS)
        curve(accuracy, kept, unit, "test_accuracy", TRUE_LABELS, 100)
    for axes in (loss, accuracy):
        axes.set_xscale("log")
        axes.set_xlim(left=0.9)
        axes.set_xlabel("epoch")
        figures.log_ticks(axes.xaxis)
    loss.set_yscale("log", nonpositive="mask")
    loss.set_ylim(top=2 * loss.get_ylim()[1])
    figures.log_ticks(loss.yaxis)
    loss.set_ylabel("loss (nats)")
    level(loss, UNIFORM_LOSS, "guessing: ln 10", above=False)
    last = float(np.median([reading.field(kept, unit, "test_loss")[-1] for unit in units]))
    if last > 2 * UNIFORM_LOSS:
        epochs = len(reading.field(kept, units[0], "test_loss"))
        figures.note(loss, "sure and wrong", (epochs, last), (0.55, 0.9), color="#BB5566")
    accuracy.set_ylim(0, 103)
    accuracy.set_ylabel("accuracy (%)")
    level(accuracy, 100 * CHANCE, "chance")


def draw_close_up(axes: Any, kept: dict, unit: str) -> None:
    """The training loss of one seed from shortly before it first is as low as the reference's."""
    values = reading.field(kept, unit, "train_loss")
    reached = int(reading.field(kept, unit, "reference_epoch"))
    first = max(int(0.8 * (reached or len(values) / 2)), 1)
    axes.plot(np.arange(first, len(values) + 1), values[first - 1 :], color="black", linewidth=0.6)
    axes.axhline(REFERENCE_LOSS, color="#BB5566", linewidth=1.4, linestyle="--")
    axes.set_xlabel("epoch")
    axes.margins(x=0.02)
    axes.set_ylim(bottom=0, top=1.25 * np.nanmax(values[first - 1 :]))
    axes.set_ylabel("loss (nats)")
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1, nbins=4)
    axes.text(0.03, 0.04, f"dashed: {REFERENCE_LOSS}", color="#BB5566", transform=axes.transAxes, va="bottom")
    if reached:
        axes.plot([reached], [values[reached - 1]], **MARK)
        figures.note(axes, "first reached", (reached, values[reached - 1]), (0.42, 0.93), zorder=4)


# ------------------------------------------------------------------------------------ part of the labels


def shares_of(kept: dict) -> dict[float, list[str]]:
    """{share: its measured units}, least first."""
    groups = {history.group_of(unit) for unit in kept["units"] if unit.startswith("share-")}
    found = {float(group.removeprefix("share-")): reading.units_of(kept, group) for group in groups}
    return {share: found[share] for share in sorted(found) if found[share]}


def draw_epoch_curves(axes: Any, kept: dict, shares: dict) -> tuple[dict[str, float], dict[str, Any]]:
    """Test accuracy by epoch, a line a seed. Returns by share, in words: its median last value, and its colour."""
    from matplotlib import colormaps

    lasts, colours = {}, {}
    for share, units in shares.items():
        words = f"{100 * share:g} %"
        colours[words] = colour = colormaps["viridis"](0.75 * share)
        for unit in units:
            curve(axes, kept, unit, "test_accuracy", {"color": colour, "linewidth": 0.9}, 100)
        lasts[words] = float(np.median([100 * reading.field(kept, unit, "test_accuracy")[-1] for unit in units]))
    axes.set_xscale("log")
    axes.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 103))
    axes.set_xlim(left=0.9)
    figures.log_ticks(axes.xaxis)
    return lasts, colours


def draw_ends(axes: Any, kept: dict, shares: dict) -> None:
    """Test accuracy at its peak and at the end against the share shuffled, beside the share of labels that are true."""
    places = [100 * share for share in shares]
    middle = len(places) // 2
    for name, words, style in (("peak_test_accuracy", "peak", PEAK), ("test_accuracy", "end", END)):
        values = [[100 * reading.field(kept, unit, name).flat[-1] for unit in units] for units in shares.values()]
        medians = [float(np.median(each)) for each in values]
        axes.plot(places, medians, linewidth=1.1, **style | {"marker": ""})
        for place, each in zip(places, values, strict=True):
            axes.plot(np.full(len(each), place), each, **style | SEED)
        spot = (0.8, 0.97) if words == "peak" else (0.24, 0.42)
        figures.note(axes, words, (places[middle], medians[middle]), spot, color=style["color"])
    right = [[1 - float(reading.field(kept, unit, "wrong_labels")) for unit in units] for units in shares.values()]
    axes.plot(places, [100 * np.median(each) for each in right], **LEVEL)
    axes.text(0.03, 0.04, "dotted: labels that are true", color="#555555", transform=axes.transAxes, va="bottom")
    axes.set(xlabel="labels shuffled (%)", xlim=(-8, 108), xticks=[0, 25, 50, 75, 100])
    axes.set(ylabel="test accuracy (%)", ylim=(0, 103))


# -------------------------------------------------------------------------------------------- second rank


def draw_more(kept: dict) -> Any:
    """True labels: loss by epoch; shuffled ones: the training loss of one seed close up, and accuracy around chance."""
    figure, (panels,) = figures.grid(1, 3, 1.9)
    loss, closer, chance = panels
    true, full = (reading.units_of(kept, arm) for arm in ("true", "full"))
    for unit in true:
        for name, style in (("running", RUNNING), ("test", TESTING), ("train", TRAINING)):
            curve(loss, kept, unit, f"{name}_loss", style)
    for unit in full:
        every = THINNED if len(reading.field(kept, unit, "test_accuracy")) > MANY else 1
        for name, style in (("test_accuracy", TESTING), ("true_accuracy", BY_TRUTH)):
            curve(chance, kept, unit, name, style, 100, every)
    if true:
        loss.set_yscale("log", nonpositive="mask")
        figures.log_ticks(loss.yaxis)
        loss.set(xlabel="epoch", ylabel="loss (nats)")
        loss.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if full:
        draw_close_up(closer, kept, full[0])
        majority = 100 * float(reading.field(kept, full[0], "majority"))
        level(chance, 100 * CHANCE, "chance", above=False)
        level(chance, majority, "most frequent class")
        low, high = chance.get_ylim()
        chance.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(low - 0.1 * (high - low), high + 0.2 * (high - low)))
    for there, words, missing in ((true, "true labels", (loss,)), (full, "all labels shuffled", (closer, chance))):
        for axes in () if there else missing:
            unmeasured(axes, words)
    figures.letters(panels, ["loss, true labels", "training loss, shuffled", "accuracy, shuffled"])
    entries = {"training": TRAINING, "training, running": RUNNING, "test": TESTING}
    figures.key(figure, entries | {"training, by true labels": BY_TRUTH})
    figures.subtitle(figure, figures.caveats(kept, ["full", "true"]))
    return figure


FIGURES = {"random_labels": draw_labels, "random_labels_more": draw_more}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
