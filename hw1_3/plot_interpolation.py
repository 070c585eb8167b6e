"""Draw the lines between two solutions and how flat their ends are, from the history of interpolation.py.

interpolation            loss (SGD, Adam) and accuracy (SGD) through two converged solutions, and every seed's barrier
interpolation_stages     loss and accuracy where SGD stopped before and with Adam, and test accuracy enlarged
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

STARTS = {  # from where the two ends began: words, look of the training line, marker of the barriers
    "shared": ("one start", {"color": "#004488", "linestyle": "-", "zorder": 3}, "o"),
    "independent": ("two starts", {"color": "#BB5566", "linestyle": "--"}, "s"),
    "matched": ("renumbered", {"color": "#997700", "linestyle": "-."}, "^"),
}
TEST = {"marker": "o", "markersize": 2.6, "markerfacecolor": "white", "markeredgewidth": 0.7, "linestyle": ""}
EVERY = 5  # one point of a line in so many has a circle for the test images
SEED = {"color": "#004488", "linewidth": 0.6, "alpha": 0.5}
BETWEEN = {"color": "#999999", "linewidth": 0.6, "linestyle": ":"}
MARK = {"linestyle": "", "markersize": 3.4, "alpha": 0.75, "markeredgewidth": 0}
PAIR = {"color": "#777777", "linewidth": 0.6, "marker": "o", "markersize": 3, "alpha": 0.8}
MIDDLE = {"color": "black", "linestyle": "", "marker": "|", "markersize": 9, "markeredgewidth": 1.4, "zorder": 4}
ACROSS = {"marker": "_", "markersize": 13}
BOUND = {"color": "black", "linestyle": "--", "linewidth": 1.0}
GUESSING = np.log(10)  # nats
TENTH = 0.1  # of the way from the ends' loss to that of guessing: the limit of a barrier
FLOOR = 1e-3  # nats: lower barriers are drawn there, as log 0 is nowhere
CUT = 1.25  # times the highest loss between the ends: what is higher beyond them is cut off
NOTES = {  # stage and quantity of a panel: the lines that are named there, words and place
    ("converged", "loss"): {"independent": ("two starts", (0.67, 0.94)), "matched": ("renumbered", (0.33, 0.86))},
    ("converged", "accuracy"): {"independent": ("two starts", (0.2, 0.2)), "matched": ("renumbered", (0.78, 0.3))},
    ("adam", "loss"): {"independent": ("two starts", (0.62, 0.94)), "shared": ("one start,\ntoo", (0.15, 0.4))},
}
ENLARGED = (-1.5, 0.5)  # points of accuracy, from the mean of the two ends, in the enlarged panel


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
    """Converged solutions: loss and accuracy with SGD; below, loss with Adam and the barriers of all seeds."""
    there = {stage: found for stage, found in two_ends.measured(history).items() if stage in ("converged", "adam")}
    if not there:
        return figures.unmeasured("converged solutions", figures.caveats(history, list(two_ends.STAGES.values())))
    figure, panels = figures.grid(2, 2, 3.9)
    (loss, accuracy), (adam_loss, heights) = panels
    for axes, panel in zip((loss, accuracy, adam_loss), NOTES, strict=True):
        stage, quantity = panel
        if stage in there:
            draw_line(axes, there[stage], quantity)
            name_ends(axes, history, stage)
            point_out(axes, there[stage], quantity, NOTES[panel])
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "not measured yet", ha="center", va="center", transform=axes.transAxes)
    draw_barriers(heights, there)
    titles = ("loss, SGD", "accuracy, SGD", "loss, Adam", "barrier of every seed")
    figures.letters(panels.flat, titles)
    finish(figure, history)
    return figure


def point_out(axes: Any, results: two_ends.Results, quantity: str, notes: dict[str, tuple]) -> None:
    """Name lines where they are farthest from the loss or accuracy of their first end, between the ends."""
    alpha, scale = results("alpha"), 1 if quantity == "loss" else 100
    for start, (words, place) in notes.items():
        values = scale * np.median(results("lines", start, f"train_{quantity}"), axis=0)
        first, last = np.searchsorted(alpha, (0, 1))
        far = first + int(np.argmax(abs(values[first : last + 1] - values[first])))
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        colour = STARTS[start][1]["color"]
        figures.note(axes, words, (float(alpha[far]), values[far]), place, color=colour, bbox=ground)


def draw_stages(history: dict) -> Any:
    """Loss and accuracy where SGD stopped before, the early test accuracy enlarged, and the accuracy with Adam."""
    there = {stage: found for stage, found in two_ends.measured(history).items() if stage != "converged"}
    if not there:
        return figures.unmeasured("earlier stages", figures.caveats(history, list(two_ends.STAGES.values())))
    figure, panels = figures.grid(2, 3, 3.4)
    kinds = (("early", "loss"), ("early", "accuracy"), ("early", "test accuracy"))
    kinds += (("late", "loss"), ("late", "accuracy"), ("adam", "accuracy"))
    for axes, (stage, quantity) in zip(panels.flat, kinds, strict=True):
        if stage not in there:
            axes.set_axis_off()
        elif quantity == "test accuracy":
            draw_enlarged(axes, there[stage])
        else:
            draw_line(axes, there[stage], quantity)
        if stage in there:
            name_ends(axes, history, stage, "\n")
    figures.letters(panels.flat, [f"{quantity}, {stage.replace('adam', 'Adam')}" for stage, quantity in kinds])
    finish(figure, history)
    return figure


def draw_enlarged(axes: Any, results: two_ends.Results) -> None:
    """Test accuracy on the line from one start, in points above the mean of its two ends."""
    curves = 100 * results("lines", "shared", "test_accuracy")
    own = 100 * np.array([results("ends", end, "test_accuracy") for end in two_ends.ENDS])
    curves = curves - own.mean(axis=0)[:, None]
    axes.plot(results("alpha"), curves.T, **SEED)
    axes.plot(results("alpha"), np.median(curves, axis=0), **STARTS["shared"][1], linewidth=1.8)
    axes.set(ylim=ENLARGED, ylabel="difference (points)")


def draw_line(axes: Any, results: two_ends.Results, quantity: str) -> None:
    """Medians over seeds of the loss, or of the accuracy in percent, along the lines."""
    alpha, scale = results("alpha"), 1 if quantity == "loss" else 100
    inside = (alpha >= 0) & (alpha <= 1)
    highest = 0.0
    for start, (_, look, _) in STARTS.items():
        values = scale * np.median(results("lines", start, f"train_{quantity}"), axis=0)
        axes.plot(alpha, values, linewidth=1.4, **look)
        highest = max(highest, values[inside].max())
        values = scale * np.median(results("lines", start, f"test_{quantity}"), axis=0)
        axes.plot(alpha[::EVERY], values[::EVERY], **TEST | {"color": look["color"], "zorder": 4})
    if quantity == "loss":
        axes.set_ylim(0, CUT * highest)
        axes.axhline(GUESSING, **BETWEEN)
    else:
        axes.set(ylim=(0, 103), yticks=range(0, 101, 25))
    axes.set_ylabel("loss (nats)" if quantity == "loss" else "accuracy (%)")


def name_ends(axes: Any, history: dict, stage: str, gap: str = " ") -> None:
    """Mark both solutions, and name them below the axis. gap: between what differs and its value."""
    word, small, large = end_names(history, stage)
    for place in (0, 1):
        axes.axvline(place, **BETWEEN)
    axes.margins(x=0)
    axes.set_xticks((-1, 0, 1, 2), ("\N{MINUS SIGN}1", f"0\n{word}{gap}{small}", f"1\n{word}{gap}{large}", "2"))


def draw_barriers(axes: Any, there: dict[str, two_ends.Results]) -> None:
    """Every seed's barrier of the training loss, a row for each optimizer and start, and the limit of a plane."""
    names, row = [], 0
    for stage, results in there.items():
        for start, (words, look, marker) in STARTS.items():
            heights = np.maximum(two_ends.barriers(results, start), FLOOR)
            mark = MARK | {"color": look["color"], "marker": marker}
            axes.plot(heights, figures.scattered(row, heights, 0.5), clip_on=False, **mark)
            axes.plot([np.median(heights)], [row], **MIDDLE)
            names.append(f"{'Adam' if stage == 'adam' else 'SGD'}, {words}")
            row += 1
    limit = TENTH * float(np.median(two_ends.below_guessing(next(iter(there.values())), "shared")))
    axes.axvline(limit, **BOUND)
    axes.set(xscale="log", xlim=(FLOOR, 10), ylim=(row - 0.5, -0.6), xlabel="barrier (nats)")
    axes.set_yticks(range(row), names)
    axes.grid(visible=False, axis="y")
    axes.text(limit * 1.2, 0, "limit", va="center")
    figures.log_ticks(axes.xaxis)


def finish(figure: Any, history: dict) -> None:
    """The key, and what a reader must know of the history."""
    entries = {words: look for words, look, _ in STARTS.values()}
    figures.key(figure, entries | {"training": {"linestyle": "-"}, "test": TEST, "guessing": BETWEEN})
    figures.subtitle(figure, figures.caveats(history, list(two_ends.STAGES.values())))


def draw_flatness(history: dict) -> Any:
    """A panel a stage: how far from either end the training loss has risen along random directions, seed by seed."""
    stages = two_ends.measured(history)
    figure, panels = figures.grid(1, len(stages), 2.1, sharey=True)
    for axes, (stage, results) in zip(panels[0], stages.items(), strict=True):
        distances = [two_ends.distances(results, end) for end in two_ends.ENDS]
        axes.plot([0, 1], distances, **PAIR)
        axes.plot([0, 1], np.median(distances, axis=1), **MIDDLE | ACROSS)
        word, *values = end_names(history, stage)
        axes.set_xticks([0, 1], [f"{word}\n{value}" for value in values])
        axes.set_xlim(-0.45, 1.45)
        axes.grid(visible=False, axis="x")
    panels[0, 0].set_ylim(0, 1.05 * panels[0, 0].get_ylim()[1])
    panels[0, 0].set_ylabel("distance (lengths of the weights)")
    figures.letters(panels.flat, [title_of(history, stage) for stage in stages])
    figures.key(figure, {"a seed": PAIR, "median": MIDDLE | ACROSS | {"markersize": 9}})
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
