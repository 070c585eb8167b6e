"""Draw how three CNNs of 1.25 million parameters learn CIFAR-10, from the history of cifar10_cnn.py.

cifar10_cnn    loss and accuracy by epoch: on the training images (left), evaluated with dropout off and, dotted, as
               training saw them with dropout on; on the test images (right), on the same scale.

    python hw1_1/plot_cifar10_cnn.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

NETS = ("shallow", "middle", "deep")
TRAINING, TESTING = {"linestyle": "-"}, {"linestyle": "--"}
RUNNING = {"linestyle": ":", "linewidth": 1.0}


def draw_learning(history: dict) -> Any:
    """Four panels: training (left) and testing (right), loss (above) and accuracy (below)."""
    nets = [net for net in NETS if reading.units_of(history, net)]
    figure, panels = figures.grid(2, 2, 4.3, sharex=True, sharey="row")
    ends: dict[Any, dict[str, float]] = {axes: {} for axes in panels.flat}
    for row, quantity in enumerate(("loss", "accuracy")):
        training, testing = panels[row]
        for net in nets:
            figures.over_epochs(training, history, net, f"running_{quantity}", **RUNNING)
            ends[training][net] = figures.over_epochs(training, history, net, f"train_{quantity}", **TRAINING)
            ends[testing][net] = figures.over_epochs(testing, history, net, f"test_{quantity}", **TESTING)
    panels[0, 0].set(yscale="log", ylabel="cross-entropy (nats)")
    figures.log_ticks(panels[0, 0].yaxis)
    panels[1, 0].set_ylabel("accuracy (%)")
    panels[1, 0].yaxis.set_major_formatter(lambda share, place: f"{100 * share:g}")
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    figures.letters(panels.flat, ["training loss", "testing loss", "training accuracy", "testing accuracy"])
    seeds = [len(reading.units_of(history, net)) for net in nets]
    lines = {"training, dropout off": TRAINING, "training, dropout on": RUNNING, "testing": TESTING}
    figures.key(figure, {**lines, **figures.band_key(seeds)}, columns=2)
    figures.subtitle(figure, figures.caveats(history, NETS))
    figures.label_ends(figure, ends)
    return figure


FIGURES = {"cifar10_cnn": draw_learning}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
