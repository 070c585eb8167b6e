"""Draw how three CNNs of 1.25 million parameters learn CIFAR-10, from the history of cifar10_cnn.py.

cifar10_cnn            training loss, training and test accuracy by epoch (above) and by arithmetic (below), dropout off
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
CURVES = {"train_loss": "training loss", "train_accuracy": "training accuracy", "test_accuracy": "test accuracy"}
OTHERS = {"running_loss": "running loss", "running_accuracy": "running accuracy", "test_loss": "test loss"}


def measured(history: dict) -> list[str]:
    """The nets of which at least one seed is measured."""
    return [net for net in NETS if reading.units_of(history, net)]


def work_of(history: dict, net: str) -> float:
    """Multiply-adds of a net for one image."""
    return float(reading.field(history, reading.units_of(history, net)[0], "multiply_adds"))


def draw_learning(history: dict) -> Any:
    """Three quantities against epochs, and below against the arithmetic they took, in epochs of one net."""
    nets = measured(history)
    unit = "middle" if "middle" in nets else nets[0]
    figure, panels = figures.grid(2, len(CURVES), 3.2, sharey="col")
    for column, name in enumerate(CURVES):
        for net in nets:
            figures.over_epochs(panels[0, column], history, net, name)
            values = reading.by_seed(history, net, name)
            times = work_of(history, net) / work_of(history, unit)
            work = times * np.arange(1, values.shape[1] + 1)
            figures.band(panels[1, column], work, values, **figures.net_style(net))
        epochs = max(reading.by_seed(history, net, name).shape[1] for net in nets)
        panels[0, column].set_xlabel("epoch")
        panels[1, column].set(xlabel=f"work, in epochs of {unit}", xlim=(0, epochs))
    for axes in panels[:, 0]:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.12)  # room for words
        figures.log_ticks(axes.yaxis)
    finish(figure, panels, history, [*CURVES.values(), *(f"{words} by work" for words in CURVES.values())])
    if {"middle", "deep"} <= set(nets):
        point(panels[1], history)
    return figure


def point(panels: np.ndarray, history: dict) -> None:
    """Say where the deep net is after the arithmetic of all of middle's epochs, and where it passes middle."""
    epochs = reading.by_seed(history, "middle", "train_loss").shape[1]
    times = work_of(history, "deep") / work_of(history, "middle")
    arrow = {"arrowstyle": "->", "linewidth": 0.9, "color": figures.net_colour("deep"), "shrinkB": 3}
    look = {"color": figures.net_colour("deep"), "textcoords": "axes fraction", "ha": "right", "arrowprops": arrow}
    for axes, name in zip(panels, CURVES, strict=True):
        middle, deep = (np.median(reading.by_seed(history, net, name), axis=0) for net in ("middle", "deep"))
        last = min(int(epochs / times), len(deep))
        if not last or not np.isfinite([*middle, *deep]).all():
            continue
        work = times * np.arange(1, last + 1)
        axes.plot(work[-1], deep[last - 1], **figures.net_style("deep") | {"marker": "o", "clip_on": False})
        if name == "train_loss":
            axes.annotate(f"deep after\n{last} epochs", (work[-1], deep[last - 1]), (0.98, 1), va="top", **look)
        ahead = deep[:last] > np.interp(work, np.arange(1, epochs + 1), middle)
        if name == "test_accuracy" and ahead[-1] and not ahead[0]:
            passes = int(np.flatnonzero(~ahead)[-1]) + 1
            axes.annotate("deep passes\nmiddle", (work[passes], deep[passes]), (0.98, 0.04), va="bottom", **look)


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
