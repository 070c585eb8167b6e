"""Draw how three CNNs of 115,000 parameters learn MNIST, from the history of mnist_cnn.py.

mnist_cnn            training and test loss and accuracy by epoch, dropout off; and how wrong answers fare, where kept
mnist_cnn_running    loss and accuracy as training saw them, with dropout on

Accuracies near 1 lie close together, so their axis is logarithmic in the error: 90, 99 and 99.9 % are equally far
apart.

    python hw1_1/plot_mnist_cnn.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

NETS = ("shallow", "middle", "deep")
HALF_AN_IMAGE = 5e-5  # of 10,000 images: so far below 1 an accuracy of 1 is drawn, since log 0 is nowhere
TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 1)
FEW_TICKS = (0, 0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 1)
TITLES = {
    "train_loss": "training loss",
    "train_accuracy": "training accuracy",
    "test_wrong_loss": "test loss when wrong",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "test_wrong_confidence": "confidence when wrong",
    "running_loss": "running loss",
    "running_accuracy": "running accuracy",
}
WRONG = ("test_wrong_loss", "test_wrong_confidence")


def measured(history: dict) -> list[str]:
    """The nets of which at least one seed is measured."""
    return [net for net in NETS if reading.units_of(history, net)]


def draw_learning(history: dict) -> Any:
    """Training above test: loss, accuracy, and where every run kept them, the test answers that were wrong."""
    kept = all(name in results for results in history["results"].values() for name in WRONG)
    names = [name for name in TITLES if "running" not in name and (kept or name not in WRONG)]
    figure, panels = figures.grid(2, len(names) // 2, 3.2, sharex=True)
    draw_curves(figure, panels, history, names)
    if "middle" in measured(history):
        point_at_lowest(panels.flat[names.index("test_loss")], history)
    return figure


def draw_running(history: dict) -> Any:
    """Loss and accuracy of training itself."""
    figure, panels = figures.grid(1, 2, 1.8)
    draw_curves(figure, panels, history, [name for name in TITLES if "running" in name])
    return figure


def draw_curves(figure: Any, panels: np.ndarray, history: dict, names: list[str]) -> None:
    """A panel for each quantity, with all nets; key and titles."""
    nets = measured(history)
    for axes, name in zip(panels.flat, names, strict=True):
        if name.endswith("accuracy"):
            axes.set_yscale("function", functions=(spread_accuracy, gather_accuracy))
        for net in nets:
            figures.over_epochs(axes, history, net, name)
        if name.endswith("accuracy"):
            low, high = axes.get_ylim()
            wide = spread_accuracy(high) - spread_accuracy(low) > 2.2
            shown = [tick for tick in (FEW_TICKS if wide else TICKS) if low <= tick <= high]
            axes.set_yticks(shown, [f"{100 * tick:g}" for tick in shown])
            axes.set_ylabel("accuracy (%)")
        elif name in WRONG:
            axes.set_ylabel("cross-entropy (nats)" if name.endswith("loss") else "largest probability")
        else:
            axes.set(yscale="log", ylabel="cross-entropy (nats)")
            figures.log_ticks(axes.yaxis)
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    figures.letters(panels.flat, [TITLES[name] for name in names])
    seeds = [len(reading.units_of(history, net)) for net in nets]
    figures.key(figure, {**{net: figures.net_style(net) for net in nets}, **figures.band_key(seeds)})
    figures.subtitle(figure, figures.caveats(history, NETS))


def point_at_lowest(axes: Any, history: dict) -> None:
    """Say where the middle net's test loss is lowest, where that is not the end."""
    losses = np.median(reading.by_seed(history, "middle", "test_loss"), axis=0)
    if not np.isfinite(losses).all() or np.argmin(losses) + 1 > 0.8 * len(losses):
        return
    colour, where = figures.net_colour("middle"), (np.argmin(losses) + 1, losses.min())
    arrow = {"arrowstyle": "->", "linewidth": 0.9, "color": colour}
    look = {"color": colour, "textcoords": "axes fraction", "ha": "right", "va": "top", "arrowprops": arrow}
    axes.annotate("middle\nrises again", where, (0.98, 1), **look)


def spread_accuracy(accuracy: np.ndarray) -> np.ndarray:
    """Height at which an accuracy in [0, 1] is drawn: one unit more for each tenth of the error."""
    return -np.log10(np.maximum(1 + HALF_AN_IMAGE - np.asarray(accuracy), 1e-12))


def gather_accuracy(height: np.ndarray) -> np.ndarray:
    """The inverse of `spread_accuracy`."""
    return 1 + HALF_AN_IMAGE - 10.0 ** -np.asarray(height)


FIGURES = {"mnist_cnn": draw_learning, "mnist_cnn_running": draw_running}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
