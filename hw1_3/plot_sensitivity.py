"""Draw loss, accuracy and sensitivity against batch size, from the history of sensitivity.py.

sensitivity            loss, accuracy and the softmax Jacobian against batch size: at equal updates, at equal loss
sensitivity_trends     whether each measure of sensitivity rises or falls with batch size, at each budget
sensitivity_passes     the same at equal passes, and the way from the initial weights at each budget
sensitivity_measures   other measures of sensitivity, a row a budget

    python hw1_3/plot_sensitivity.py
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

from hw1_3 import batch_nets

BUDGETS = {"steps": "equal updates", "epochs": "equal passes", "loss": "equal training loss"}
TARGETS = {"steps": "steps", "epochs": "epochs", "loss": "target_loss"}  # settings that the words above name
LINES = {
    "train": {"color": "#004488", "linestyle": "-", "marker": "o", "markersize": 2.6},
    "test": {"color": "#BB5566", "linestyle": "--", "marker": "s", "markersize": 2.6},
    "net": {"color": "black", "linestyle": "-", "marker": "o", "markersize": 2.6},  # of the net, not of images
}
SEED = {"linestyle": "", "markersize": 3, "alpha": 0.3, "markeredgewidth": 0}
UNREACHED = {"color": "#555555", "linestyle": "", "marker": "x", "markersize": 4, "markeredgewidth": 0.8}
CLAIMED = {"color": "#999999", "linestyle": ":", "linewidth": 0.9, "zorder": 0}  # under the marks
GROUND = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # hides a dotted line behind words
COUNT = {"color": "#555555", "ha": "center", "va": "top", "bbox": GROUND}
ROOM = 0.16  # of the height of an axis, for crosses below its points and for words above them
DECADES = 10  # a larger span of values than this factor makes an axis logarithmic, but for the mean sensitivity
IMAGES = {"test": "test images", "train": "training images"}
SHADES = {1: "#BB5566", -1: "#004488"}  # of trends that rise and that fall
MAIN = {  # a panel: its axis, and what it shows
    "loss": ("loss (nats)", ("loss",)),
    "accuracy": ("accuracy (%)", ("accuracy",)),
    "Jacobian": ("mean norm of J", ("softmax", "mean")),
}
OTHERS = {
    "softmax Jacobian, median": ("softmax", "median"),
    "logit Jacobian": ("logits", "mean"),
    "gradient of mean loss": ("mean_loss_gradient",),
}


def draw_panel(axes: Any, nets: batch_nets.Nets, paths: Sequence[tuple[str, ...]]) -> None:
    """Quantities against batch size: every seed faint, medians joined.

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
    missing, across = unreached(nets), axes.get_xaxis_transform()
    axes.plot(missing, np.full(len(missing), 0.05), transform=across, **UNREACHED)
    partly = partly_reached(nets)
    for size, words in partly.items():
        axes.text(size, 0.99, words, transform=across, **COUNT)
    axes.margins(0.06, 0.1)
    axes.set_xscale("log")
    axes.set_xticks([1, 100, 10_000], ["1", "100", "10,000"])
    axes.set_xticks([10, 1000], 2 * [""], minor=True)
    axes.set_xlabel("batch size")
    positive = [value for value in shown if value > 0]
    if positive and max(positive) > DECADES * min(positive) and paths[0][1:] != ("softmax", "mean"):
        axes.set_yscale("log", nonpositive="mask")
    make_room(axes, bool(missing), bool(partly))
    if axes.get_yscale() == "log":
        figures.log_ticks(axes.yaxis)
    else:
        axes.yaxis.get_major_locator().set_params(nbins=5)


def make_room(axes: Any, below: bool, above: bool) -> None:
    """Move the ends of the axis apart, so that what stands below and above covers no point."""
    low, high = axes.yaxis.get_transform().transform(axes.get_ylim())
    room = ROOM * (high - low)
    axes.set_ylim(axes.yaxis.get_transform().inverted().transform([low - room * below, high + room * above]))


def unreached(nets: batch_nets.Nets) -> list[int]:
    """The batch sizes of which no seed was measured."""
    return [size for size, found in nets.items() if all(one is None for one in found.values())]


def partly_reached(nets: batch_nets.Nets) -> dict[int, str]:
    """{batch size: such as 6 of 8 seeds}, where some seeds were measured and some were not."""
    counts = {size: sum(one is not None for one in found.values()) for size, found in nets.items()}
    return {
        size: f"{count} of {len(nets[size])} seeds" for size, count in counts.items() if 0 < count < len(nets[size])
    }


def of_images(path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The same quantity on training and on test images."""
    return [(images, *path) for images in ("train", "test")]


def row_title(history: dict, budget: str) -> str:
    """Equal updates (30,000)."""
    target = reading.setting(history, TARGETS[budget])
    return f"{BUDGETS[budget]} ({target:,g})"


def draw_main(history: dict) -> Any:
    """Loss, accuracy and sensitivity: at equal updates above, at equal training loss below."""
    figure, panels = figures.grid(2, 3, 3.6)
    budgets = {"steps": "equal updates", "loss": "equal loss"}
    for row, budget in zip(panels, budgets, strict=True):
        draw_row(row, batch_nets.nets_of(history, budget))
        for axes in row[:2]:
            axes.axvline(batch_nets.BEST, **CLAIMED)
    tell_passes(panels[0, 0], batch_nets.nets_of(history, "steps"))
    figures.letters(panels.flat, [f"{title}, {words}" for words in budgets.values() for title in MAIN])
    return finish(figure, panels, history, ("steps", "loss"))


def draw_row(row: Sequence[Any], nets: batch_nets.Nets) -> None:
    """The panels of MAIN at one budget."""
    for axes, (label, path) in zip(row, MAIN.values(), strict=True):
        draw_panel(axes, nets, of_images(path))
        axes.set_ylabel(label)


def tell_passes(axes: Any, nets: batch_nets.Nets) -> None:
    """Write above the smallest and the largest batch size how many passes over the images these updates are."""
    make_room(axes, False, True)
    for size, place, side in ((min(nets), 0.02, "left"), (max(nets), 0.98, "right")):
        for passes in list(batch_nets.values_of(nets, size, ("epoch",)).values())[:1]:
            words = f"{passes:,g} pass{'es' if passes > 1 else ''}"
            axes.text(place, 0.99, words, transform=axes.transAxes, **COUNT | {"ha": side})


def draw_trends(history: dict) -> Any:
    """A table of rank correlations with batch size, for test and for training images: measures by budgets."""
    figure, panels = figures.grid(1, 2, 1.6, sharey=True)
    for axes, images in zip(panels[0], IMAGES, strict=True):
        for column, budget in enumerate(BUDGETS):
            nets = batch_nets.judged(batch_nets.nets_of(history, budget))
            for row, (_, path) in enumerate(batch_nets.MEASURES.values()):
                values = batch_nets.trends(nets, (images, *path))
                trend = float(np.mean(values)) if values else np.nan
                draw_cell(axes, column, row, trend if np.isfinite(trend) else None)
        axes.set(xlim=(-0.5, 2.5), ylim=(len(batch_nets.MEASURES) - 0.5, -0.5))
        axes.set_xticks(range(3), [words.replace("equal ", "equal\n", 1) for words in BUDGETS.values()])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
    panels[0, 0].set_yticks(range(len(batch_nets.MEASURES)), [words for words, _ in batch_nets.MEASURES.values()])
    figures.letters(panels[0], IMAGES.values())
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


def draw_cell(axes: Any, column: int, row: int, trend: float | None) -> None:
    """One trend: its sign as an arrow and a colour, its size as the colour's strength and a number."""
    from matplotlib.patches import Rectangle

    strength, colour = abs(trend or 0), SHADES[1 if (trend or 0) > 0 else -1]
    place = {"xy": (column - 0.47, row - 0.44), "width": 0.94, "height": 0.88}
    axes.add_patch(Rectangle(**place, facecolor=colour, alpha=strength**2))
    axes.add_patch(Rectangle(**place, facecolor="none", edgecolor="#999999", linewidth=0.5))
    hundredths = np.copysign(np.floor(100 * strength + 0.5), trend or 0)  # halves away from 0, as in the report
    arrow = "" if strength < 0.5 else "\N{UPWARDS ARROW} " if trend > 0 else "\N{DOWNWARDS ARROW} "
    words = "\N{EN DASH}" if trend is None else f"{arrow}{hundredths / 100:.2f}".replace("-", "\N{MINUS SIGN}")
    axes.text(
        column,
        row,
        words,
        ha="center",
        va="center",
        color="white" if strength > (0.93 if hundredths > 0 else 0.7) else "black",
    )


def draw_passes(history: dict) -> Any:
    """Loss, accuracy and sensitivity at equal passes; below, the way from the initial weights at each budget."""
    figure, panels = figures.grid(2, 3, 3.1)
    draw_row(panels[0], batch_nets.nets_of(history, "epochs"))
    for axes, budget in zip(panels[1], BUDGETS, strict=True):
        draw_panel(axes, batch_nets.nets_of(history, budget), [("distance",)])
    panels[1, 0].set_ylabel("distance from the start")
    figures.letters(panels.flat, [*(f"{title}, equal passes" for title in MAIN), *BUDGETS.values()])
    return finish(figure, panels, history, BUDGETS)


def draw_measures(history: dict) -> Any:
    """Other measures of sensitivity: a row for each budget."""
    figure, panels = figures.grid(3, 3, 3.5)
    for row, budget in zip(panels, BUDGETS, strict=True):
        for axes, path in zip(row, OTHERS.values(), strict=True):
            draw_panel(axes, batch_nets.nets_of(history, budget), of_images(path))
        row[0].set_ylabel(row_title(history, budget).replace(" (", "\n("))
    figures.letters(panels.flat, 3 * list(OTHERS))
    return finish(figure, panels, history, BUDGETS)


def finish(figure: Any, panels: Any, history: dict, budgets: Sequence[str]) -> Any:
    """The key, and what a reader must know of the history."""
    entries = {words: LINES[images] for images, words in IMAGES.items()}
    if any(unreached(batch_nets.nets_of(history, budget)) for budget in budgets):
        entries["training loss never reached"] = UNREACHED
    figures.key(figure, entries)
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    figure.align_ylabels(panels[:, 0])
    return figure


FIGURES = {
    "sensitivity": draw_main,
    "sensitivity_trends": draw_trends,
    "sensitivity_passes": draw_passes,
    "sensitivity_measures": draw_measures,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
