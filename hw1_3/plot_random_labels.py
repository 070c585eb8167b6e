"""Draw how a network fits shuffled labels, from the history of random_labels.py.

random_labels         loss, accuracy and a close-up of it by epoch, all labels shuffled beside all true, a line a seed
random_labels_share   a share of the labels shuffled: epochs to fit, test accuracy at its peak, at the end and by epoch

    python hw1_3/plot_random_labels.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, history, reading, settings

import numpy as np

ARMS = {"full": "shuffled labels", "true": "true labels"}
CHANCE = 0.1
UNIFORM_LOSS = float(np.log(10))  # nats: of an answer that gives each class one tenth
REFERENCE_LOSS = 0.055  # what the reference reached in training
TRAINING = {"color": "black", "linewidth": 1.1}
RUNNING = {"color": "#888888", "linewidth": 0.8, "linestyle": ":"}
TESTING = {"color": "#BB5566", "linewidth": 1.1, "linestyle": "--"}
BY_TRUTH = {"color": "#004D43", "linewidth": 0.9, "linestyle": "-.", "zorder": 3}
THINNED = 10  # one epoch in so many is drawn close up, as dashes are lost in what jumps at every epoch,
MANY = 60  # where there are more epochs than this
FITTED = {"color": "black", "linestyle": "", "marker": "o", "markersize": 4.5, "markerfacecolor": "white", "zorder": 3}
LEVEL = {"color": "#555555", "linewidth": 0.8, "linestyle": (0, (1, 1.5)), "zorder": 1}
MAJORITY = LEVEL | {"color": "#004488", "linestyle": (0, (5, 1.5)), "zorder": 4}
SEED = {"linestyle": "", "marker": "o", "markersize": 4, "alpha": 0.8, "markeredgewidth": 0}
END = {"color": "#BB5566"}
PEAK = {"color": "#004488"}
UNFITTED = SEED | {"color": "black", "marker": "^", "markersize": 5}


def level(axes: Any, value: float, words: str, above: float) -> None:
    """A thin line at a value, named at its right end so many points above it, or below."""
    axes.axhline(value, **LEVEL)
    axes.annotate(
        words,
        (0.99, value),
        (-3, above),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="bottom" if above > 0 else "top",
        color="#555555",
        size=7,
    )


# ------------------------------------------------------------------------------------------- all images


def draw_training(kept: dict) -> Any:
    """A column for shuffled and for true labels: loss (log), accuracy, and the accuracy close up."""
    arms = [arm for arm in ARMS if reading.units_of(kept, arm)]
    if not arms:
        return figures.unmeasured("nets that learn all images", figures.caveats(kept, []))
    figure, panels = figures.grid(len(arms), 3, 2.1 * len(arms) + 0.6)
    for (loss, accuracy, closer), arm in zip(panels, arms, strict=True):
        loss.set_yscale("log", nonpositive="mask")
        for unit in reading.units_of(kept, arm):
            draw_unit(kept, unit, loss, (accuracy, closer))
        for axes in (loss, accuracy, closer):
            axes.set_xlim(left=0)
        closer.set_ylim(*close_limits(kept, arm))
        accuracy.set_ylim(0, 103)
        level(loss, UNIFORM_LOSS, "ln 10", 1.5 if arm == "true" else -2)
        level(loss, REFERENCE_LOSS, f"earlier report: {REFERENCE_LOSS}", 9 if arm == "true" else -9)  # free of curves
        if arm == "full":
            closer.axhline(100 * majority_of(kept), **MAJORITY)
            closer.axhline(100 * CHANCE, **LEVEL | {"zorder": 5, "color": "black"})
    ranges = np.array([axes.get_ylim() for axes in panels[:, 0]])
    for axes in panels[:, 0]:
        axes.set_ylim(ranges.min(), 1.3 * ranges.max())
        figures.log_ticks(axes.yaxis)
    for axes in panels.flat:
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    for (loss, *accuracies), arm in zip(panels, arms, strict=True):
        loss.set_ylabel(f"{ARMS[arm]}\ncross-entropy (nats)")
        for axes in accuracies:
            axes.set_ylabel("accuracy (%)")
    figures.letters(panels.flat, ["loss", "accuracy", "accuracy close up"] + ["", "", ""] * (len(arms) - 1))
    entries = {"training": TRAINING, "training, running": RUNNING, "test": TESTING}
    entries |= {"fitted from here on": FITTED}
    if "full" in arms:
        share = f"{100 * majority_of(kept):.2f}".rstrip("0").rstrip(".")
        entries |= {"training, by true labels": BY_TRUTH, "chance": LEVEL | {"color": "black"}}
        entries |= {f"most frequent class ({share} %)": MAJORITY}
    figures.key(figure, entries, columns=3)
    figures.subtitle(figure, figures.caveats(kept, list(ARMS)))
    figure.align_ylabels()
    return figure


def draw_unit(kept: dict, unit: str, loss: Any, accuracies: tuple[Any, Any]) -> None:
    """One training, a line a curve, and a mark where its labels count as fitted."""
    epochs = np.arange(1, len(reading.field(kept, unit, "train_loss")) + 1)
    marker = {"marker": "."} if len(epochs) == 1 else {}
    fit = int(reading.field(kept, unit, "fit_epoch"))
    for axes, quantity, scale in ((loss, "loss", 1), *((each, "accuracy", 100) for each in accuracies)):
        curves = {f"running_{quantity}": RUNNING, f"train_{quantity}": TRAINING, f"test_{quantity}": TESTING}
        if quantity == "accuracy" and history.group_of(unit) != "true":
            curves = {"true_accuracy": BY_TRUTH} | curves
        every = slice(None, None, THINNED if axes is accuracies[1] and len(epochs) > MANY else 1)
        for name, style in curves.items():
            axes.plot(epochs[every], scale * reading.field(kept, unit, name)[every], **style | marker)
        if fit:
            axes.plot([fit], [scale * reading.field(kept, unit, f"train_{quantity}")[fit - 1]], **FITTED)


def majority_of(kept: dict) -> float:
    """Test accuracy of an answer that is always the most frequent class."""
    return float(reading.field(kept, reading.units_of(kept, "full")[0], "majority"))


def close_limits(kept: dict, arm: str) -> tuple[float, float]:
    """Percent: around the test accuracies, for shuffled labels with chance and majority, else up to all right."""
    units = reading.units_of(kept, arm)
    tested = 100 * np.concatenate([reading.field(kept, unit, "test_accuracy") for unit in units])
    tested = tested[np.isfinite(tested)]
    if arm == "true":
        low = min(float(np.quantile(tested, 0.1)), 99.5) if len(tested) else 99.5
        return low - 0.1 * (100 - low), 100 + 0.05 * (100 - low)
    shown = [*tested, 100 * CHANCE, 100 * majority_of(kept)]
    return min(shown) - 0.3, max(shown) + 0.3


# ------------------------------------------------------------------------------------ part of the labels


def shares_of(kept: dict) -> dict[float, list[str]]:
    """{share: its measured units}, least first."""
    groups = {history.group_of(unit) for unit in kept["units"] if unit.startswith("share-")}
    found = {float(group.removeprefix("share-")): reading.units_of(kept, group) for group in groups}
    return {share: found[share] for share in sorted(found) if found[share]}


def draw_share(kept: dict) -> Any:
    """Against the share of shuffled labels: epochs to fit, test accuracy; and test accuracy by epoch."""
    shares = shares_of(kept)
    if not shares:
        return figures.unmeasured("nets that learn part of the images", figures.caveats(kept, []))
    figure, panels = figures.grid(1, 3, 2.7)
    speed, ends, by_epoch = panels[0]
    unfitted = draw_epochs(speed, kept, shares)
    for name, style in (("peak_test_accuracy", PEAK), ("test_accuracy", END)):
        values = [[100 * reading.field(kept, unit, name).flat[-1] for unit in units] for units in shares.values()]
        strip(ends, shares, values, style)
    level(ends, 100 * CHANCE, "chance", above=False)
    level(by_epoch, 100 * CHANCE, "", above=False)
    lasts, colours = draw_epoch_curves(by_epoch, kept, shares)
    for axes in (ends, by_epoch):
        axes.set_ylim(0, 103)
        axes.set_ylabel("test accuracy (%)")
    for axes in (speed, ends):
        axes.set_xlabel("shuffled labels (%)")
        axes.set_xlim(-8, 108)
        axes.set_xticks([0, 25, 50, 75, 100])
    figures.letters(panels[0], ["epochs to fit", "peak and end", "by epoch"])
    entries = {"at its peak": PEAK | {"marker": "o"}, "at the end": END | {"marker": "o"}}
    figures.key(figure, entries | ({"not fitted by then": UNFITTED} if unfitted else {}))
    planned = dict.fromkeys(history.group_of(unit) for unit in kept["units"] if unit.startswith("share-"))
    figures.subtitle(figure, figures.caveats(kept, list(planned)))
    figures.label_ends(figure, {by_epoch: lasts}, colours)
    return figure


def strip(axes: Any, shares: dict, values: list[list[float]], style: dict) -> None:
    """A point a seed and a line through the medians, against the share in percent."""
    places = [100 * share for share in shares]
    axes.plot(places, [np.median(each) if each else np.nan for each in values], linewidth=1.1, **style)
    for place, each in zip(places, values, strict=True):
        axes.plot(np.full(len(each), place), each, **SEED | style)


def draw_epochs(axes: Any, kept: dict, shares: dict) -> bool:
    """Epochs until the labels were fitted; whether some were not, which are marked at their last epoch."""
    ran = {unit: len(reading.field(kept, unit, "test_accuracy")) for units in shares.values() for unit in units}
    fit = {unit: int(reading.field(kept, unit, "fit_epoch")) for unit in ran}
    strip(axes, shares, [[fit[unit] for unit in units if fit[unit]] for units in shares.values()], {"color": "black"})
    for share, units in shares.items():
        missed = [ran[unit] for unit in units if not fit[unit]]
        axes.plot(np.full(len(missed), 100 * share), missed, **UNFITTED)
    axes.set_ylim(0, 1.08 * max(fit[unit] or ran[unit] for unit in ran))
    axes.set_ylabel("epochs")
    axes.yaxis.get_major_locator().set_params(integer=True)
    return not all(fit.values())


def draw_epoch_curves(axes: Any, kept: dict, shares: dict) -> tuple[dict[str, float], dict[str, Any]]:
    """Test accuracy by epoch, a line a seed. Returns by share, in words: its median last value, and its colour."""
    from matplotlib import colormaps

    lasts, colours = {}, {}
    for share, units in shares.items():
        words = f"{100 * share:g} %"
        colours[words] = colour = colormaps["viridis"](0.75 * share)
        curves = [100 * reading.field(kept, unit, "test_accuracy") for unit in units]
        for curve in curves:
            axes.plot(np.arange(1, len(curve) + 1), curve, color=colour, linewidth=0.9)
            axes.plot([len(curve)], curve[-1:], color=colour, marker="o", markersize=3)
        lasts[words] = float(np.median([curve[-1] for curve in curves]))
    axes.set_xscale("log")
    axes.set_xlabel("epoch")
    axes.set_xlim(left=0.9)
    figures.log_ticks(axes.xaxis)
    return lasts, colours


FIGURES = {"random_labels": draw_training, "random_labels_share": draw_share}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
