"""Draw how three CNNs of 115,000 parameters learn MNIST, from the history of mnist_cnn.py.

mnist_cnn    loss and accuracy by epoch: evaluated with dropout off, training and testing (above), and as training
             saw them, dropout on (below). Accuracies near 1 lie close together, so their axis is logarithmic in the
             error: 90, 99 and 99.9 % are equally far apart.

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
TRAINING, TESTING = {"linestyle": "-"}, {"linestyle": "--"}


def draw_learning(history: dict) -> Any:
    """Four panels: loss (left) and accuracy (right), dropout off (above) and on (below)."""
    nets = [net for net in NETS if reading.units_of(history, net)]
    figure, panels = figures.grid(2, 2, 4.3, sharex=True, sharey="col")
    for loss, accuracy in panels:
        loss.set(yscale="log", ylabel="cross-entropy (nats)")
        accuracy.set_yscale("function", functions=(spread_accuracy, gather_accuracy))
        accuracy.set_ylabel("accuracy (%), log of error")
    ends: dict[Any, dict[str, float]] = {axes: {} for axes in panels.flat}
    for column, quantity in enumerate(("loss", "accuracy")):
        clean, running = panels[:, column]
        for net in nets:
            figures.over_epochs(clean, history, net, f"train_{quantity}", **TRAINING)
            ends[clean][net] = figures.over_epochs(clean, history, net, f"test_{quantity}", **TESTING)
            ends[running][net] = figures.over_epochs(running, history, net, f"running_{quantity}", **TRAINING)
    for loss, accuracy in panels:
        figures.log_ticks(loss.yaxis)
        low, high = accuracy.get_ylim()
        wide = spread_accuracy(high) - spread_accuracy(low) > 2.2
        shown = [tick for tick in (FEW_TICKS if wide else TICKS) if low <= tick <= high]
        accuracy.set_yticks(shown, [f"{100 * tick:g}" for tick in shown])
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    titles = ["loss, dropout off", "accuracy, dropout off", "running loss, dropout on", "running accuracy, dropout on"]
    figures.letters(panels.flat, titles)
    seeds = [len(reading.units_of(history, net)) for net in nets]
    figures.key(figure, {"training": TRAINING, "testing": TESTING, **figures.band_key(seeds)})
    figures.subtitle(figure, figures.caveats(history, NETS))
    figures.label_ends(figure, ends)
    return figure


def spread_accuracy(accuracy: np.ndarray) -> np.ndarray:
    """Height at which an accuracy in [0, 1] is drawn: one unit more for each tenth of the error."""
    return -np.log10(np.maximum(1 + HALF_AN_IMAGE - np.asarray(accuracy), 1e-12))


def gather_accuracy(height: np.ndarray) -> np.ndarray:
    """The inverse of `spread_accuracy`."""
    return 1 + HALF_AN_IMAGE - 10.0 ** -np.asarray(height)


FIGURES = {"mnist_cnn": draw_learning}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
