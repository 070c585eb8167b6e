"""Draw gradient norm and loss during training, from the history of grad_norm.py.

grad_norm               norm above loss, same iterations: mini-batches (one seed faint, running medians), fixed set
grad_norm_window        the same within the window in which the fixed set was measured at every iteration
grad_norm_correlation   rank correlations of norm and loss, a mark for each seed

    python hw1_2/plot_grad_norm.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

ARMS = {"mnist/adam": "MNIST, Adam", "mnist/sgd": "MNIST, momentum", "f1/adam": "f1, Adam"}
ROWS = ("gradient_norm", "loss")
LOSSES = {"mnist": "cross-entropy (nats)", "f1": "mean squared error"}
RAW = {"color": "#CCCCCC", "linewidth": 0.4, "rasterized": True}  # as a picture: thousands of points
MEDIAN = {"color": "black", "linewidth": 1.5}
OTHERS = {"color": "#444444", "linewidth": 0.4, "alpha": 0.7}
FIXED = {"color": "#009988", "linewidth": 1.1, "linestyle": "--"}
FIXED_INSIDE = FIXED | {"linestyle": "-"}
BATCH = {"color": "#999999", "linewidth": 0.8}
MARK = {"linestyle": "", "marker": "o", "markersize": 3.5, "color": "#009988", "alpha": 0.7, "markeredgewidth": 0}
DEAD = {"linestyle": "", "marker": "x", "markersize": 3.5, "color": "#777777", "markeredgewidth": 0.7}
AGREES = {"color": "black", "linestyle": "-", "linewidth": 0.9}
DENIES = {"color": "black", "linestyle": ":", "linewidth": 1.3}
CORRELATIONS = {  # statistic: title, from where on it agrees with the claim, up to where it denies it
    "large_scale": ("fixed set,\nafter the first epoch", 0.5, 0.0),
    "small_scale": ("mini-batches,\naround their trend", 0.5, 0.2),
    "window_fixed": ("fixed set in the window,\naround its trend", None, None),
}


def measured(history: dict) -> list[str]:
    """The arms that are measured."""
    return [arm for arm in ARMS if arm in history["results"]]


def shown_seed(history: dict, arm: str) -> int:
    """The net drawn in the window: the first that is not dead."""
    return int(np.argmin(dead_of(history, arm)))


def dead_of(history: dict, arm: str) -> np.ndarray:
    """(seeds,) booleans; a net for MNIST is never dead."""
    if "dead" in history["results"][arm]:
        return reading.field(history, arm, "dead").astype(bool)
    return np.zeros(len(reading.field(history, arm, "fixed", "loss")), bool)


def panels_of(history: dict) -> tuple[Any, np.ndarray]:
    """A figure with a column for each measured arm, norm above loss, log axes."""
    arms = measured(history)
    figure, panels = figures.grid(2, len(arms), 3.9, sharex="col")
    for (norm, loss), arm in zip(panels.T, arms, strict=True):
        for axes in (norm, loss):
            axes.set_yscale("log", nonpositive="mask")
        norm.set_ylabel("gradient norm")
        loss.set(xlabel="iteration", ylabel=LOSSES[arm.split("/")[0]])
    figures.letters(panels.flat, 2 * [ARMS[arm] for arm in arms])
    figures.subtitle(figure, figures.caveats(history, list(ARMS)))
    return figure, panels


def finish(figure: Any, panels: np.ndarray, entries: dict[str, dict]) -> Any:
    """Few ticks on the narrow axes, plain numbers on the log ones, and the key."""
    for axes in panels.flat:
        axes.margins(x=0)
        axes.xaxis.get_major_locator().set_params(nbins=4, integer=True)
        figures.log_ticks(axes.yaxis)
    figures.key(figure, entries)
    figure.align_ylabels()
    return figure


def draw_training(history: dict) -> Any:
    """Whole trainings: the first seed's mini-batches faint, its running median bold, those of the others thin."""
    figure, panels = panels_of(history)
    for name, row in zip(ROWS, panels, strict=True):
        for axes, arm in zip(row, measured(history), strict=True):
            live = ~dead_of(history, arm)
            raw = reading.field(history, arm, "first_seed", name)
            axes.plot(np.arange(len(raw)), raw, **RAW)
            iterations = reading.field(history, arm, "running_median", "iterations")
            medians = reading.field(history, arm, "running_median", name)
            marker = {"marker": "o"} if len(iterations) == 1 else {}
            axes.plot(iterations, medians[1:][live[1:]].T, **OTHERS)
            axes.plot(iterations, medians[0], **MEDIAN, **marker)
            records = reading.field(history, arm, "fixed", "iterations")
            fixed = reading.field(history, arm, "fixed", name)[0]
            axes.plot(records, fixed, **FIXED)
            axes.set_ylim(*limits(raw, np.concatenate([medians.ravel(), fixed])))
    entries = {
        "mini-batch, first seed": RAW | {"linewidth": 3},
        "its running median": MEDIAN,
        "other seeds": OTHERS | {"linewidth": 0.8},
        "fixed set, first seed": FIXED,
    }
    return finish(figure, panels, entries)


def limits(raw: np.ndarray, whole: np.ndarray) -> tuple[float, float]:
    """A log axis for all of `whole` and for `raw` but its lowest: a batch that is fitted has hardly any loss."""
    shown = np.concatenate([whole[whole > 0], np.quantile(raw[raw > 0], [0.005, 1]) if (raw > 0).any() else []])
    return (shown.min() / 1.3, shown.max() * 1.3) if len(shown) else (0.1, 1.0)


def draw_window(history: dict) -> Any:
    """One seed in the window, at every iteration: mini-batches and the fixed set."""
    figure, panels = panels_of(history)
    for name, row in zip(ROWS, panels, strict=True):
        for axes, arm in zip(row, measured(history), strict=True):
            seed = shown_seed(history, arm)
            iterations = reading.field(history, arm, "window", "iterations")
            axes.plot(iterations, reading.field(history, arm, "window", name)[seed], **BATCH)
            axes.plot(iterations, reading.field(history, arm, "window", f"fixed_{name}")[seed], **FIXED_INSIDE)
    return finish(figure, panels, {"mini-batch": BATCH, "fixed set": FIXED_INSIDE})


def draw_correlation(history: dict) -> Any:
    """Rank correlations of norm and loss by arm, a mark a seed, and from where on they agree with the claim."""
    arms = measured(history)
    figure, panels = figures.grid(1, len(CORRELATIONS), 2.7, sharey=True)
    any_dead = False
    for axes, (name, (_, agrees, denies)) in zip(panels[0], CORRELATIONS.items(), strict=True):
        for place, arm in enumerate(arms):
            values, dead = reading.field(history, arm, "statistics", name), dead_of(history, arm)
            any_dead |= bool(dead.any())
            x = place + (np.arange(len(values)) - (len(values) - 1) / 2) * 0.5 / len(values)
            axes.plot(x[~dead], values[~dead], **MARK)
            axes.plot(x[dead], values[dead], **DEAD)
        if agrees is not None:
            axes.axhline(agrees, **AGREES)
            axes.axhline(denies, **DENIES)
        axes.set_xticks(range(len(arms)), [ARMS[arm].replace(", ", ",\n") for arm in arms])
        axes.set_xlim(-0.5, len(arms) - 0.5)
        axes.set_ylim(-1.05, 1.05)
        axes.grid(visible=False, axis="x")
    panels[0, 0].set_ylabel("rank correlation of norm and loss")
    figures.letters(panels.flat, [title for title, _, _ in CORRELATIONS.values()])
    entries = {"a seed": MARK, "agrees from here up": AGREES, "denies from here down": DENIES}
    figures.key(figure, entries | ({"dead": DEAD} if any_dead else {}))
    figures.subtitle(figure, figures.caveats(history, list(ARMS)))
    return figure


FIGURES = {
    "grad_norm": draw_training,
    "grad_norm_window": draw_window,
    "grad_norm_correlation": draw_correlation,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
