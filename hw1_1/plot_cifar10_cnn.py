"""Draw how three CNNs of 1.25 million parameters learn CIFAR-10, from the history of cifar10_cnn.py.

cifar10_cnn            above training loss and accuracy by epoch, below training loss and test accuracy by arithmetic
cifar10_cnn_running    what training saw, with dropout on, and the test loss

    python hw1_1/plot_cifar10_cnn.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

NETS = ("shallow", "middle", "deep")
BY_EPOCH = {"train_loss": "training loss", "train_accuracy": "training accuracy"}
BY_WORK = {"train_loss": "training loss by arithmetic", "test_accuracy": "test accuracy by arithmetic"}
WORK = "arithmetic, 10⁶ multiply-adds per training image"
BUDGET = {"color": figures.NEUTRAL, "linewidth": 0.9, "linestyle": ":"}
OTHERS = {"running_loss": "running loss", "running_accuracy": "running accuracy", "test_loss": "test loss"}


def measured(history: dict) -> list[str]:
    """The nets of which at least one seed is measured."""
    return [net for net in NETS if reading.units_of(history, net)]


def work_of(history: dict, net: str, epochs: int) -> np.ndarray:
    """(epochs,): millions of multiply-adds for each training image up to the end of an epoch, forward."""
    each = float(reading.field(history, reading.units_of(history, net)[0], "multiply_adds"))
    return each / 1e6 * np.arange(1, epochs + 1)


def draw_learning(history: dict) -> Any:
    """Two quantities against epochs, and below two against the arithmetic they took; dropout off."""
    nets = measured(history)
    figure, panels = figures.grid(2, len(BY_EPOCH), 3.9)
    for axes, name in zip(panels[0], BY_EPOCH, strict=True):
        for net in nets:
            figures.over_epochs(axes, history, net, name)
        axes.set_xlabel("epoch")
    for axes, name in zip(panels[1], BY_WORK, strict=True):
        for net in nets:
            values = reading.by_seed(history, net, name)
            figures.band(axes, work_of(history, net, values.shape[1]), values, **figures.net_style(net))
        axes.set(xlabel=WORK, xscale="log")
        axes.margins(x=0)
        figures.log_ticks(axes.xaxis)
    for axes in panels[:, 0]:
        axes.set_yscale("log")
        figures.log_ticks(axes.yaxis)
    finish(figure, panels, history, [*BY_EPOCH.values(), *BY_WORK.values()])
    if {"middle", "deep"} <= set(nets):
        point(panels[1], history)
    return figure


def point(panels: np.ndarray, history: dict) -> None:
    """Mark the arithmetic of all of middle's epochs, say where the deep net is then, and where it passes middle."""
    for axes, name in zip(panels, BY_WORK, strict=True):
        middle, deep = (np.median(reading.by_seed(history, net, name), axis=0) for net in ("middle", "deep"))
        budget, work = (work_of(history, net, len(each)) for net, each in (("middle", middle), ("deep", deep)))
        last = int(np.sum(work <= budget[-1]))
        if not last or not np.isfinite([*middle, *deep]).all():
            continue
        axes.axvline(budget[-1], **BUDGET)
        axes.plot(work[last - 1], deep[last - 1], **figures.net_style("deep") | {"marker": "o"})
        colour = figures.net_colour("deep")
        if name == "train_loss":
            words, place = f"all {len(middle)} epochs of middle,\n{last} epochs of deep", (0.3, 0.13)
            figures.note(axes, words, (budget[-1], middle[-1]), place)
        ahead = deep[:last] > np.interp(work[:last], budget, middle)
        if name == "test_accuracy" and ahead[-1] and not ahead[0]:
            passes = int(np.flatnonzero(~ahead)[-1]) + 1
            figures.note(axes, "deep passes middle", (work[passes], deep[passes]), (0.3, 0.9), color=colour)


def draw_running(history: dict) -> Any:
    """Three further quantities against epochs."""
    figure, panels = figures.grid(1, len(OTHERS), 1.9)
    for axes, name in zip(panels[0], OTHERS, strict=True):
        for net in measured(history):
            figures.over_epochs(axes, history, net, name)
        axes.set_xlabel("epoch")
    finish(figure, panels, history, OTHERS.values())
    return figure


def finish(figure: Any, panels: np.ndarray, history: dict, titles: Any) -> None:
    """Names of the axes, titles and key."""
    for axes, title in zip(panels.flat, titles, strict=True):
        if "loss" in title:
            axes.set_ylabel("cross-entropy (nats)")
        else:
            axes.set_ylabel("accuracy (%)")
            axes.yaxis.set_major_formatter(lambda share, place: f"{100 * share:g}")
    figures.letters(panels.flat, titles)
    nets = measured(history)
    seeds = [len(reading.units_of(history, net)) for net in nets]
    figures.key(figure, {**{net: figures.net_style(net) for net in nets}, **figures.band_key(seeds)})
    figures.subtitle(figure, figures.caveats(history, NETS))


FIGURES = {"cifar10_cnn": draw_learning, "cifar10_cnn_running": draw_running}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
