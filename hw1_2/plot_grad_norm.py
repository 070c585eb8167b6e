"""Draw gradient norm and loss during training, from the history of grad_norm.py.

grad_norm               Adam: norm above loss, same iterations: mini-batches, with their running median, and fixed set
grad_norm_momentum      the same with momentum
grad_norm_window        the norm within the window in which the fixed set was measured at every iteration
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
ROWS = {"gradient_norm": "gradient norm", "loss": "loss"}
LOSSES = {"mnist": "cross-entropy (nats)", "f1": "mean squared error"}
STRETCH = 100  # iterations over which the spread of the mini-batches is taken
SPREAD = {"color": "#D5D5D5", "linewidth": 0}
MEDIAN = {"color": "black", "linewidth": 1.5}
STUCK = {"color": "#BB5566", "linewidth": 1.0, "linestyle": "--"}
FIXED = {"color": "#009988", "linewidth": 1.1}
BATCH = {"color": "#999999", "linewidth": 0.8}
STALLED = 50  # times the median loss at the end: a net on a plateau
MARK = {"linestyle": "", "marker": "o", "markersize": 3.5, "color": "#009988", "alpha": 0.7, "markeredgewidth": 0}
DEAD = {"linestyle": "", "marker": "x", "markersize": 3.5, "color": "#777777", "markeredgewidth": 0.7}
AGREES = {"color": "black", "linestyle": "-", "linewidth": 0.9}
DENIES = {"color": "black", "linestyle": ":", "linewidth": 1.3}
CORRELATIONS = {  # statistic: title, from where on it agrees with the claim, up to where it denies it
    "large_scale": ("fixed set,\nafter the first epoch", 0.5, 0.0),
    "small_scale": ("mini-batches,\naround their trend", 0.5, 0.2),
    "window_fixed": ("fixed set in the window,\naround its trend", None, None),
}


def measured(history: dict, *wanted: str) -> list[str]:
    """The arms that are measured, of those wanted; of all where none is named."""
    return [arm for arm in wanted or ARMS if arm in history["results"]]


def dead_of(history: dict, arm: str) -> np.ndarray:
    """(seeds,) booleans; a net for MNIST is never dead."""
    if "dead" in history["results"][arm]:
        return reading.field(history, arm, "dead").astype(bool)
    return np.zeros(len(reading.field(history, arm, "fixed", "loss")), bool)


def draw_adam(history: dict) -> Any:
    """Whole trainings with Adam, on MNIST and on f1; the norm above the loss."""
    arms = measured(history, "mnist/adam", "f1/adam")
    if not arms:
        return figures.unmeasured("trainings with Adam", figures.caveats(history, list(ARMS)))
    figure, panels = figures.grid(len(ROWS), len(arms), 3.0, sharex="col")
    for column, arm in zip(panels.T, arms, strict=True):
        for axes, name in zip(column, ROWS, strict=True):
            draw_training(axes, history, arm, name)
        column[-1].set_xlabel("iteration")
    return finish(figure, panels, history, [f"{ARMS[arm]}: {words}" for words in ROWS.values() for arm in arms])


def draw_momentum(history: dict) -> Any:
    """Whole trainings with momentum: norm and loss."""
    if not measured(history, "mnist/sgd"):
        return figures.unmeasured("training with momentum", figures.caveats(history, list(ARMS)))
    figure, panels = figures.grid(1, len(ROWS), 1.9)
    for axes, name in zip(panels[0], ROWS, strict=True):
        draw_training(axes, history, "mnist/sgd", name)
        axes.set_xlabel("iteration")
    return finish(figure, panels, history, [f"{ARMS['mnist/sgd']}: {words}" for words in ROWS.values()])


def draw_training(axes: Any, history: dict, arm: str, name: str) -> None:
    """One panel: spread and running median of the first seed's mini-batches, its fixed set, and seeds that stall."""
    axes.set_yscale("log", nonpositive="mask")
    axes.set_ylabel("gradient norm" if name == "gradient_norm" else LOSSES[arm.split("/")[0]])
    raw = reading.field(history, arm, "first_seed", name)
    stretches = np.array_split(raw, max(1, len(raw) // STRETCH))
    low, high = np.transpose([np.quantile(stretch, figures.TENTHS) for stretch in stretches])
    middles = (np.arange(len(low)) + 0.5) * len(raw) / len(low)
    axes.fill_between(middles, low, high, **SPREAD)
    iterations = reading.field(history, arm, "running_median", "iterations")
    medians = reading.field(history, arm, "running_median", name)
    records, fixed = reading.field(history, arm, "fixed", "iterations"), reading.field(history, arm, "fixed", name)
    ends = reading.field(history, arm, "fixed", "loss")[:, -1]
    stalled = ~dead_of(history, arm) & (ends > STALLED * np.median(ends))
    stalled &= arm.startswith("f1")  # no net for MNIST stands on a plateau
    stalled[0] = False  # drawn already
    axes.plot(iterations, medians[stalled].T, **STUCK)
    axes.plot(records, fixed[0], **FIXED)
    axes.plot(iterations, medians[0], **MEDIAN, **({"marker": "o"} if len(iterations) == 1 else {}))
    shown = np.concatenate([low, high, medians[[0]].ravel(), medians[stalled].ravel(), fixed[0]])
    shown = shown[shown > 0]
    axes.set_ylim(*((shown.min() / 1.3, shown.max() * 1.3) if len(shown) else (0.1, 1.0)))
    axes.margins(x=0)
    if name == "gradient_norm" and arm.startswith("mnist"):
        point_at_noise(axes, records, fixed[0], iterations, medians[0])
    if name == "loss" and stalled.any() and np.isfinite(medians[stalled]).all():
        seeds = " and ".join(map(str, np.flatnonzero(stalled)))
        words = f"seed {seeds} stalls" if stalled.sum() == 1 else f"seeds {seeds} stall"
        middle = len(iterations) // 2
        at = float(iterations[middle]), float(medians[stalled, middle].min())
        figures.note(axes, words, at, (0.75, 0.62), color=STUCK["color"])


def point_at_noise(
    axes: Any, records: np.ndarray, fixed: np.ndarray, iterations: np.ndarray, batch: np.ndarray
) -> None:
    """An arrow from the fixed set's norm to the mini-batches' running median, where that is far above, and its name."""
    place = int(0.8 * (len(records) - 1))
    low, high = fixed[place], np.interp(records[place], iterations, batch)
    if not np.isfinite([low, high]).all() or low <= 0 or high < 2 * low:
        return
    arrow = {"arrowstyle": "<->", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (records[place], low), (records[place], high), arrowprops=arrow)
    axes.set_ylim(bottom=axes.get_ylim()[0] / 3)  # room for the words
    figures.note(axes, "gap: noise of the mini-batch", (records[place], low), (0.5, 0.08))


def draw_window(history: dict) -> Any:
    """The norm of one seed at every iteration of the window: mini-batches and the fixed set."""
    arms = measured(history, "mnist/adam", "f1/adam")
    if not arms:
        return figures.unmeasured("trainings with Adam", figures.caveats(history, list(ARMS)))
    figure, panels = figures.grid(1, len(arms), 1.8)
    for axes, arm in zip(panels[0], arms, strict=True):
        seed = int(np.argmin(dead_of(history, arm)))  # the first that is not dead
        iterations = reading.field(history, arm, "window", "iterations")
        batch, fixed = (reading.field(history, arm, "window", f"{kind}gradient_norm")[seed] for kind in ("", "fixed_"))
        axes.plot(iterations, batch, **BATCH)
        axes.plot(iterations, fixed, **FIXED)
        axes.set_yscale("log", nonpositive="mask")
        axes.set(xlabel="iteration", ylabel="gradient norm")
        axes.margins(x=0)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.2)
        rank = reading.field(history, arm, "statistics", "batch_with_fixed")[seed]
        words = "the fixed set jumps as well" if rank > 0.5 else "most jumps are absent on the fixed set"
        axes.text(0.99, 0.98, words, transform=axes.transAxes, ha="right", va="top")
    figures.letters(panels[0], [ARMS[arm] for arm in arms])
    return end(figure, panels, history, {"mini-batch": BATCH, "fixed set": FIXED})


def finish(figure: Any, panels: np.ndarray, history: dict, titles: list[str]) -> Any:
    """Titles and key of whole trainings."""
    figures.letters(panels.flat, titles)
    entries = {
        "mini-batches: middle four fifths": SPREAD | {"linewidth": 7},
        "their median": MEDIAN,
        "fixed set": FIXED,
    }
    drawn = {str(line.get_linestyle()) for axes in panels.flat for line in axes.lines}
    return end(figure, panels, history, entries | ({"seed that stalls": STUCK} if STUCK["linestyle"] in drawn else {}))


def end(figure: Any, panels: np.ndarray, history: dict, entries: dict[str, dict]) -> Any:
    """Few ticks on the axes, plain numbers on the log ones, the key and the caveats."""
    for axes in panels.flat:
        axes.xaxis.get_major_locator().set_params(nbins=4, integer=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        figures.log_ticks(axes.yaxis)
    figures.key(figure, entries)
    figures.subtitle(figure, figures.caveats(history, list(ARMS)))
    figure.align_ylabels()
    return figure


def draw_correlation(history: dict) -> Any:
    """Rank correlations of norm and loss by arm, a mark a seed, and from where on they agree with the claim."""
    arms = measured(history)
    figure, panels = figures.grid(1, len(CORRELATIONS), 2.1, sharey=True)
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
    "grad_norm": draw_adam,
    "grad_norm_momentum": draw_momentum,
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
