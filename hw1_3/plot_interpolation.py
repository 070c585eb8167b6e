"""Draw the lines between two solutions and how flat their ends are, from the history of interpolation.py.

interpolation            loss and accuracy through two converged solutions, and every seed's barrier: SGD, Adam
interpolation_stages     loss and accuracy where SGD stopped before, and test accuracy enlarged
interpolation_flatness   how far one can go from either end before the training loss has risen, a mark a seed

    python hw1_3/plot_interpolation.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

from hw1_3 import two_ends

STARTS = {  # from where the two ends began: words, look, which points of a line are marked
    "shared": ("one start", {"color": "#004488", "zorder": 3}, {}),
    "independent": ("two starts", {"color": "#BB5566"}, {"marker": "s", "markersize": 2.8, "markevery": (7, 14)}),
    "matched": ("renumbered", {"color": "#DDAA33"}, {"marker": "^", "markersize": 3.4, "markevery": (0, 14)}),
}
TEXT = {"shared": "#004488", "independent": "#BB5566", "matched": "#8A6500"}  # dark enough to read
TRAINING, TESTING = {"linestyle": "-", "linewidth": 1.3}, {"linestyle": "--", "linewidth": 1.1}
SEED = {"color": "#004488", "linewidth": 0.6, "alpha": 0.5}
BETWEEN = {"color": "#999999", "linewidth": 0.6, "linestyle": ":"}
MARK = {"linestyle": "", "markersize": 3.4, "alpha": 0.75, "markeredgewidth": 0}
PAIR = {"color": "#777777", "linewidth": 0.6, "marker": "o", "markersize": 3, "alpha": 0.8}
MIDDLE = {"color": "black", "linestyle": "", "marker": "_", "markersize": 13, "markeredgewidth": 1.4, "zorder": 4}
BOUND = {"color": "black", "linestyle": "--", "linewidth": 1.0}
GUESSING = np.log(10)  # nats
TENTH = 0.1  # of the way from the ends' loss to that of guessing: the limit of a barrier
FLOOR = 1e-3  # nats: lower barriers are drawn there, as log 0 is nowhere
CUT = 1.25  # times the highest loss between the ends: what is higher beyond them is cut off
ENLARGED = (-1.5, 0.5)  # points of accuracy, from the mean of the two ends, in the enlarged panels


def title_of(history: dict, stage: str) -> str:
    """What ends a training, and after how many updates."""
    words = "Adam" if stage == "adam" else f"SGD {stage}"
    return f"{words},\n{reading.setting(history, f'{stage}_steps'):,} updates"


def end_names(history: dict, stage: str) -> tuple[str, str, str]:
    """What differs between the ends, in a word, and its two values."""
    word, name = ("rate", "learning_rate") if stage == "adam" else ("batch", "batch")
    small, large = (f"{reading.setting(history, f'{end}_{name}'):,g}" for end in two_ends.ENDS)
    return word, small, large


def draw_roads(history: dict) -> Any:
    """A row for SGD, converged, and one for Adam: loss, accuracy, and the barriers of all seeds."""
    rows = {stage: found for stage, found in two_ends.measured(history).items() if stage in ("converged", "adam")}
    if not rows:
        return figures.unmeasured("converged solutions", figures.caveats(history, list(two_ends.STAGES.values())))
    figure, panels = figures.grid(len(rows), 3, 1.6 * len(rows) + 0.4, width_ratios=(1, 1, 1.05))
    for (loss, accuracy, heights), (stage, results) in zip(panels, rows.items(), strict=True):
        draw_line(loss, results, "loss")
        draw_line(accuracy, results, "accuracy")
        draw_barriers(heights, results)
        for axes in (loss, accuracy):
            name_ends(axes, history, stage)
        point_out(loss, accuracy, results)
    words = ("loss", "accuracy", "barriers")
    figures.letters(
        panels.flat, [f"{word}, {'Adam' if stage == 'adam' else 'SGD'}" for stage in rows for word in words]
    )
    finish(figure, history)
    return figure


def point_out(loss: Any, accuracy: Any, results: two_ends.Results) -> None:
    """Name the three lines where they differ most, between the solutions."""
    places = results("alpha")
    heights = np.median(results("lines", "independent", "train_loss"), axis=0)
    alpha = float(places[np.argmax(np.where(abs(places - 0.5) <= 0.5, heights, 0))])
    top, dip = (
        np.median(two_ends.at(results, *line, alpha))
        for line in (("independent", "train_loss"), ("matched", "train_accuracy"))
    )
    figures.note(loss, "two starts", (alpha, top), (0.62, 0.95), color=TEXT["independent"])
    figures.note(accuracy, "renumbered", (alpha, 100 * dip), (0.78, 0.95), color=TEXT["matched"])
    first = two_ends.at(results, "shared", "train_accuracy", 0)
    figures.note(accuracy, "one start", (0, 100 * np.median(first)), (0.18, 0.95), color=TEXT["shared"])


def draw_stages(history: dict) -> Any:
    """A row for each earlier stage of SGD: loss, accuracy, and the test accuracy between ends from one start."""
    rows = {stage: found for stage, found in two_ends.measured(history).items() if stage in ("early", "late")}
    if not rows:
        return figures.unmeasured("earlier stages", figures.caveats(history, list(two_ends.STAGES.values())))
    figure, panels = figures.grid(len(rows), 3, 1.45 * len(rows) + 0.5)
    for row, (stage, results) in zip(panels, rows.items(), strict=True):
        draw_line(row[0], results, "loss")
        draw_line(row[1], results, "accuracy")
        curves = 100 * results("lines", "shared", "test_accuracy")
        own = 100 * np.array([results("ends", end, "test_accuracy") for end in two_ends.ENDS])
        curves = curves - own.mean(axis=0)[:, None]
        row[2].plot(results("alpha"), curves.T, **SEED)
        row[2].plot(results("alpha"), np.median(curves, axis=0), **STARTS["shared"][1], linewidth=1.8)
        row[2].set_ylim(*ENLARGED)
        row[2].set_ylabel("points above the ends")
        for axes in row:
            name_ends(axes, history, stage)
    words = ("loss", "accuracy", "test accuracy")
    figures.letters(panels.flat, [f"{word}, {stage}" for stage in rows for word in words])
    finish(figure, history)
    return figure


def draw_line(axes: Any, results: two_ends.Results, quantity: str) -> None:
    """Medians over seeds of the loss, or of the accuracy in percent, along the lines."""
    alpha, scale = results("alpha"), 1 if quantity == "loss" else 100
    inside = (alpha >= 0) & (alpha <= 1)
    highest = 0.0
    for start, (_, colour, marks) in STARTS.items():
        for data, style in (("test", TESTING), ("train", TRAINING)):
            values = scale * np.median(results("lines", start, f"{data}_{quantity}"), axis=0)
            axes.plot(alpha, values, **colour, **style, **marks)
            highest = max(highest, values[inside].max())
    if quantity == "loss":
        axes.set_ylim(0, CUT * highest)
        axes.axhline(GUESSING, **BETWEEN)
        axes.text(-0.98, GUESSING, "guessing", va="bottom", color=figures.NEUTRAL, clip_on=True)
    else:
        axes.set(ylim=(0, 124), yticks=range(0, 101, 25))
    axes.set_ylabel("cross-entropy (nats)" if quantity == "loss" else "accuracy (%)")


def name_ends(axes: Any, history: dict, stage: str) -> None:
    """Mark both solutions, and name them below the axis."""
    word, small, large = end_names(history, stage)
    for place in (0, 1):
        axes.axvline(place, **BETWEEN)
    axes.margins(x=0)
    axes.set_xticks((-1, 0, 1, 2), ("\N{MINUS SIGN}1", f"0\n{word}\n{small}", f"1\n{word}\n{large}", "2"))


def draw_barriers(axes: Any, results: two_ends.Results) -> None:
    """Every seed's barrier of the training loss by start, and below which height a line counts as a plane."""
    for place, (start, (_, colour, marks)) in enumerate(STARTS.items()):
        heights = np.maximum(two_ends.barriers(results, start), FLOOR)
        marker = {"marker": marks.get("marker", "o")}
        axes.plot(figures.scattered(place, heights, 0.5), heights, clip_on=False, **MARK, **marker, **colour)
        axes.plot([place], [np.median(heights)], **MIDDLE)
    limit = TENTH * float(np.median(two_ends.below_guessing(results, "shared")))
    axes.axhline(limit, **BOUND)
    axes.set(yscale="log", ylim=(FLOOR, 9), xlim=(-0.6, 2.6), ylabel="barrier (nats)")
    axes.text(-0.55, limit / 1.2, "limit of a plane", va="top")
    axes.set_xticks(range(3), [words.replace(" ", "\n").replace("renum", "re-\nnum") for words, *_ in STARTS.values()])
    axes.grid(visible=False, axis="x")
    figures.log_ticks(axes.yaxis)


def finish(figure: Any, history: dict) -> None:
    """The key, and what a reader must know of the history."""
    entries = {words: colour | marks | {"markevery": None} for words, colour, marks in STARTS.values()}
    figures.key(figure, entries | {"training": TRAINING, "test": TESTING})
    figures.subtitle(figure, figures.caveats(history, list(two_ends.STAGES.values())))


def draw_flatness(history: dict) -> Any:
    """A panel a stage: how far from either end the training loss has risen along random directions, seed by seed."""
    stages = two_ends.measured(history)
    figure, panels = figures.grid(1, len(stages), 2.1, sharey=True)
    for axes, (stage, results) in zip(panels[0], stages.items(), strict=True):
        distances = [two_ends.distances(results, end) for end in two_ends.ENDS]
        axes.plot([0, 1], distances, **PAIR)
        axes.plot([0, 1], np.median(distances, axis=1), **MIDDLE)
        word, *values = end_names(history, stage)
        axes.set_xticks([0, 1], [f"{word}\n{value}" for value in values])
        axes.set_xlim(-0.45, 1.45)
        axes.grid(visible=False, axis="x")
    panels[0, 0].set_ylim(0, 1.05 * panels[0, 0].get_ylim()[1])
    panels[0, 0].set_ylabel("distance (lengths of the weights)")
    figures.letters(panels.flat, [title_of(history, stage) for stage in stages])
    figures.key(figure, {"a seed": PAIR, "median": MIDDLE | {"markersize": 9}})
    figures.subtitle(figure, figures.caveats(history, list(two_ends.STAGES.values())))
    return figure


FIGURES = {
    "interpolation": draw_roads,
    "interpolation_stages": draw_stages,
    "interpolation_flatness": draw_flatness,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
