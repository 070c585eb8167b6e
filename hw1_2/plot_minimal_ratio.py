"""Draw the points where the gradient is almost zero, from the history of minimal_ratio.py.

minimal_ratio          both ratios against loss, index against units without effect, ratio against loss with a ridge
minimal_ratio_nets     three ratios against loss, a row for each larger net
minimal_ratio_ridge    share of eigenvalues that are not negative against loss, a panel for each net with a ridge
minimal_ratio_checks   gradient norms, Newton's step, share found on spheres against the predicted one, earlier recipe

    python hw1_2/plot_minimal_ratio.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

NETS = {"1-4-1": 4, "1-8-1": 8, "1-4-4-1": 8}  # hidden units of each
JUDGED = "1-4-1"
RECIPE = "1-40-40-1"  # the net of an earlier report's recipe
RIDGE = "ridge-"  # begins the names of the nets with a ridge, such as ridge-1e-4/f2/1-4-1
RADIUS = 2  # of the history's radii: the middle one, 0.001 of the weights' norm
SAME = 1e-3  # relative: points of one ratio whose losses differ by less are one mark, as large as they are many
FEW = 5  # trainings, whose number need not be written beside their mark
RATIOS = {"not_negative": "not negative", "sampled": "higher on a sphere", "positive_share": "positive"}
AXES = {"not_negative": "eigenvalues not negative (%)", "sampled": "random neighbours with higher loss (%)"}
AXES |= {"positive_share": "eigenvalues positive (%)"}
MINIMUM = {"marker": "o", "facecolor": "#004488", "edgecolor": "#004488"}
CHANNEL = {"marker": "o", "facecolor": "none", "edgecolor": "#BB5566"}
SADDLE = {"marker": "^", "facecolor": "#DDAA33", "edgecolor": "black"}
OTHER = {"marker": "x", "facecolor": "#555555"}
KINDS = {"minimum": MINIMUM, "apparent minimum in a channel": CHANNEL, "saddle": SADDLE, "not critical": OTHER}
COUNTED = dict(zip(KINDS, ("minima", "in channels", "saddles", "not critical"), strict=True))  # 22 saddles
OTHERS_STOP = (1e-3, 5e-3)  # gradient norms at which other public answers to this homework call it zero
SMALLEST = 1e-18  # a norm or a step of 0 is drawn here
BEFORE = {"color": "#DDAA33"}
AFTER = {"histtype": "step", "color": "#004488", "linewidth": 1.2}  # an outline, seen over the other as well
BAND = {"color": "#E8E8E8", "linewidth": 7}
EQUAL = {"color": "black", "linewidth": 0.8, "linestyle": "-"}
POINT = {"linestyle": "", "marker": "o", "markersize": 3, "color": "#004488", "alpha": 0.45, "markeredgewidth": 0}


def nets_of(history: dict) -> list[str]:
    """The nets without a ridge that were taken to zero gradient."""
    return [net for net in NETS if net in history["results"]]


def arms_of(history: dict) -> list[str]:
    """The measured nets with a ridge."""
    return [unit for unit in history["units"] if unit.startswith(RIDGE) and unit in history["results"]]


def words_of(arm: str) -> str:
    """1-4-1 on f2, ridge 0.0001."""
    ridge, function, net = arm.removeprefix(RIDGE).split("/")
    return f"{net} on {function}, ridge {float(ridge):g}"


def ratio_of(history: dict, unit: str, name: str) -> np.ndarray:
    """(nets,): a minimal ratio, of the middle radius where there are several."""
    if name == "not_negative":
        return 1 - reading.field(history, unit, "negative_share")
    values = reading.field(history, unit, name)
    return values[:, RADIUS] if values.ndim == 2 else values


def kinds_of(history: dict, unit: str) -> np.ndarray:
    """(nets,): a word of `KINDS`."""
    kinds, channel = reading.words(history, unit, "kind"), reading.field(history, unit, "channel") > 0
    known = np.where((kinds == "minimum") & channel, "apparent minimum in a channel", kinds)
    return np.where(np.isin(known, list(KINDS)), known, "not critical")


def marks(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float, int]]:
    """Points (x, y) as marks: those of one x (to a thousandth) and almost one y together, with their number."""
    order = np.lexsort((y, np.round(x, 3)))
    apart = (np.diff(np.round(x, 3)[order]) > 0) | (np.diff(y[order]) > SAME * y[order][1:])
    groups = np.split(order, np.flatnonzero(apart) + 1) if len(order) else []
    return [(float(x[group].mean()), float(np.median(y[group])), len(group)) for group in groups]


def scatter(axes: Any, history: dict, unit: str, x: np.ndarray, y: np.ndarray) -> None:
    """Marks by kind, as large as they are many."""
    kinds = kinds_of(history, unit)
    for kind, look in KINDS.items():
        for across, up, count in marks(x[kinds == kind], y[kinds == kind]):
            axes.scatter([across], [up], s=12 * np.sqrt(count), linewidths=0.8, alpha=0.85, clip_on=False, **look)


def draw_against_loss(axes: Any, history: dict, unit: str, ratio: str) -> None:
    """A minimal ratio (x) against the loss (y, log)."""
    loss = reading.field(history, unit, "loss")
    values = ratio_of(history, unit, ratio)
    scatter(axes, history, unit, values, loss)
    axes.set_yscale("log")
    left_of(axes, values)
    axes.xaxis.get_major_locator().set_params(nbins=4)
    axes.xaxis.set_major_formatter(lambda share, place: f"{100 * share:g}")
    axes.set_xlabel(AXES[ratio])
    if np.nanmin(loss) > 1e-4:  # else powers of ten, as matplotlib writes them
        axes.set_ylim(0.8 * np.nanmin(loss), 1.25 * np.nanmax(loss))
        figures.log_ticks(axes.yaxis)


def left_of(axes: Any, ratios: np.ndarray) -> None:
    """Let a panel begin a little left of the lowest ratio, and end at 1."""
    low = min(float(np.nanmin(ratios)), 0.98)
    axes.set_xlim(low - 0.05 * (1 - low), 1)


def unmeasured(axes: Any, words: str) -> None:
    """Say in a panel what is missing."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, f"{words}:\nnot measured yet", ha="center", va="center", transform=axes.transAxes)


def finish(figure: Any, history: dict, units: list[str], entries: dict) -> Any:
    """Key, of the kinds of point that the units have, and caveats."""
    there = {str(kind) for unit in units for kind in kinds_of(history, unit)}
    look = {"linestyle": "", "markersize": 4}
    for kind in (kind for kind in KINDS if kind in there):
        style = KINDS[kind]
        edge = style.get("edgecolor", style["facecolor"])
        entries[kind] = look | {"marker": style["marker"], "color": edge, "markerfacecolor": style["facecolor"]}
    if entries:
        figures.key(figure, entries)
    figures.subtitle(figure, figures.caveats(history, list(history["units"])))
    return figure


# ------------------------------------------------------------------------------------------ the first figure


def draw_ratio(history: dict) -> Any:
    """Above both ratios of the net 1-4-1, below what its saddles are, and a net with a ridge."""
    nets, arms = nets_of(history), arms_of(history)
    figure, ((curvature, sphere), (index, ridge)) = figures.grid(2, 2, 4.3)
    titles = [f"{JUDGED}, ratio by curvature", f"{JUDGED}, ratio by sampling", "saddles", "with a weight penalty"]
    if JUDGED in nets:
        for axes, ratio in ((curvature, "not_negative"), (sphere, "sampled")):
            draw_against_loss(axes, history, JUDGED, ratio)
            axes.set_ylabel("mean squared error")
        count_marks(curvature, history)
        point_at_missed(sphere, history)
    shallow = [net for net in nets if net.count("-") == 2]
    if shallow:
        draw_index(index, history, shallow)
        titles[2] = f"saddles of {' and '.join(shallow)}"
    shown = max(arms, key=lambda arm: reading.field(history, arm, "distinct").size, default=None)
    if shown:
        draw_against_loss(ridge, history, shown, "not_negative")
        ridge.set_ylabel("loss, penalty included")
        titles[3] = words_of(shown)
    for axes, there in ((curvature, JUDGED in nets), (sphere, JUDGED in nets), (index, shallow), (ridge, shown)):
        if not there:
            unmeasured(axes, "nets with a ridge" if axes is ridge else "the nets")
    figures.letters((curvature, sphere, index, ridge), titles)
    return finish(figure, history, [*[net for net in nets if net == JUDGED], *([shown] if shown else [])], {})


def count_marks(axes: Any, history: dict) -> None:
    """Say how many trainings a mark stands for, where they are not few, and what their saddles are."""
    ratio, kinds = ratio_of(history, JUDGED, "not_negative"), kinds_of(history, JUDGED)
    live, loss = (reading.field(history, JUDGED, name) for name in ("effective_width", "loss"))
    for kind, words in COUNTED.items():
        for across, up, count in marks(ratio[kinds == kind], loss[kinds == kind]):
            if count > FEW:
                width = live[(kinds == kind) & (np.abs(ratio - across) < 1e-6)][0]
                made_of = f"{width:.0f} of {NETS[JUDGED]} units work" if width else "constant output"
                left = axes.transLimits.transform((across, 0))[0] > 0.6
                look = {"xytext": (-9 if left else 9, 0), "textcoords": "offset points", "va": "center"}
                words_here = f"{count} {words}" + (f":\n{made_of}" if kind == "saddle" else "")
                axes.annotate(words_here, (across, up), ha="right" if left else "left", **look)


def point_at_missed(axes: Any, history: dict) -> None:
    """Point at the saddles all of whose random neighbours are higher, as around a minimum; not at constant outputs."""
    ratio, loss = ratio_of(history, JUDGED, "sampled"), reading.field(history, JUDGED, "loss")
    missed = (kinds_of(history, JUDGED) == "saddle") & (ratio == 1)
    missed &= reading.field(history, JUDGED, "effective_width") > 0
    if missed.any():
        words = f"{missed.sum()} saddles look\nlike minima"
        figures.note(axes, words, (1, float(np.median(loss[missed]))), (0.55, 0.45))


def draw_index(axes: Any, history: dict, nets: list[str]) -> None:
    """Hidden units without an effect of their own (x) against the index (y) of the saddles of nets with one layer."""
    widest = max(NETS[net] for net in nets)
    axes.plot([0, widest], [0, widest], **EQUAL)
    missing, index = [], []
    for net in nets:
        saddle = kinds_of(history, net) == "saddle"
        missing += list(NETS[net] - reading.field(history, net, "effective_width")[saddle])
        index += list(reading.field(history, net, "index")[saddle])
    found = marks(np.array(missing), np.array(index))
    most = max(found, key=lambda mark: mark[2], default=None)
    for across, up, count in found:
        axes.scatter([across], [up], s=12 * np.sqrt(count), linewidths=0.8, zorder=3, **SADDLE)
        place = {"xytext": (-6, 2) if up > across else (6, -2), "ha": "right" if up > across else "left"}
        words = f"{count} saddles" if (across, up, count) == most else f"{count}"
        axes.annotate(words, (across, up), textcoords="offset points", va="bottom" if up > across else "top", **place)
    figures.note(axes, "as many as\nmissing units", (3 / 8 * widest, 3 / 8 * widest), (0.18, 0.85))
    axes.set(xlabel="missing hidden units", ylabel="downhill directions (index)", xlim=(0, widest + 1.5))
    axes.set_ylim(0, widest + 1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True, nbins=5)


# -------------------------------------------------------------------------------------------- second rank


def draw_nets(history: dict) -> Any:
    """Three ratios (x) against loss (y, log), a row for each net but the one of the first figure."""
    nets = [net for net in nets_of(history) if net != JUDGED]
    if not nets:
        return figures.unmeasured("the larger nets", figures.caveats(history, []))
    figure, panels = figures.grid(len(nets), len(RATIOS), 1.45 * len(nets) + 0.5, sharex="col", sharey="row")
    for net, row in zip(nets, panels, strict=True):
        for axes, ratio in zip(row, RATIOS, strict=True):
            draw_against_loss(axes, history, net, ratio)
            left_of(axes, np.concatenate([ratio_of(history, each, ratio) for each in nets]))
            if net != nets[-1]:
                axes.set_xlabel("")
        row[0].set_ylabel(f"loss, {net}")
    figures.letters(panels.flat, [*RATIOS.values(), *[""] * (len(RATIOS) * (len(nets) - 1))])
    return finish(figure, history, nets, {})


def draw_ridge(history: dict) -> Any:
    """The share of eigenvalues that are not negative (x) against the loss (y), a panel for each net with a ridge."""
    arms = arms_of(history)
    if not arms:
        return figures.unmeasured("nets with a ridge", figures.caveats(history, []))
    rows = -(-len(arms) // 3)
    figure, panels = figures.grid(rows, min(3, len(arms)), 1.05 * rows + 0.6)
    for axes in panels.flat[len(arms) :]:
        axes.remove()
    for axes, arm in zip(panels.flat, arms, strict=False):
        draw_against_loss(axes, history, arm, "not_negative")
        axes.set_xlabel("")
    for axes in panels.flat[max(0, len(arms) - panels.shape[1]) : len(arms)]:
        axes.set_xlabel(AXES["not_negative"])
    for row in panels:
        row[0].set_ylabel("loss")
    figures.letters(panels.flat[: len(arms)], [words_of(arm) for arm in arms])
    return finish(figure, history, arms, {})


def draw_checks(history: dict) -> Any:
    """Gradient norms of 1-4-1, Newton's steps; sampled against predicted share, the recipe in float32 and float64."""
    nets, recipe = nets_of(history), RECIPE in history["results"]
    figure, ((norms, step), (predicted, rounded)) = figures.grid(2, 2, 4.0)
    if JUDGED in nets:
        draw_norms(norms, history)
    if nets:
        draw_steps(step, history, nets)
        pairs = [(reading.field(history, net, "predicted"), ratio_of(history, net, "sampled")) for net in nets]
        for pair in pairs:
            predicted.plot(*pair, **POINT)
        low = np.floor(20 * min(np.nanmin(each) for pair in pairs for each in pair) - 0.2) / 20
        diagonal(predicted, max(0.0, low), reading.setting(history, "sphere_points"))
        predicted.set(xlabel="predicted from eigenvalues", ylabel="found on the sphere")
    if recipe:
        rounded.plot(*(reading.field(history, RECIPE, name) for name in ("exact_ratio", "ratio")), **POINT)
        diagonal(rounded, 0.0, 0)
        rounded.set(xlabel="share in float64", ylabel="share in float32")
    for axes, there in ((norms, JUDGED in nets), (step, nets), (predicted, nets), (rounded, recipe)):
        if not there:
            unmeasured(axes, "the earlier recipe" if axes is rounded else "the nets")
    titles = [f"gradient norm, {JUDGED}", "Newton's next step", "higher points", "the earlier recipe"]
    figures.letters((norms, step, predicted, rounded), titles)
    entries = {"loss minimised": BEFORE | {"linewidth": 7}, "its gradient's norm minimised": {"color": AFTER["color"]}}
    return finish(figure, history, [], entries | {"equal": EQUAL})


def draw_steps(axes: Any, history: dict, nets: list[str]) -> None:
    """Newton's step at what counts as a minimum, in lengths of the weights: in channels and elsewhere."""
    steps: dict[str, list[float]] = {"apparent minimum in a channel": [], "minimum": []}
    cancel, solid = steps
    for net in nets:
        kinds = kinds_of(history, net)
        step = reading.field(history, net, "newton_step") / reading.field(history, net, "weight_norm")
        for kind in steps:
            steps[kind] += list(np.maximum(step[kinds == kind], SMALLEST))
    bins = np.logspace(np.log10(SMALLEST), 3, 43)
    axes.hist(steps[cancel], bins, color="#BB5566", hatch="////", edgecolor="white", linewidth=0.3)
    axes.hist(steps[solid], bins, color="#004488")
    axes.set_xscale("log")
    axes.set_xticks([1e-16, 1e-8, 1], [figures.power(1e-16), figures.power(1e-8), "1"])
    axes.set(xlabel="length, as a share of the weights'", ylabel="trainings")
    for kind, words, place in (
        (cancel, "in channels", (0.5, 0.8)),
        (solid, "other minima", (0.3, 0.5)),
    ):
        if steps[kind]:
            counts = np.histogram(steps[kind], bins)[0]
            highest = int(np.argmax(counts))
            at = float(np.sqrt(bins[highest] * bins[highest + 1])), float(counts[highest])
            figures.note(axes, words, at, place)


def draw_norms(axes: Any, history: dict) -> None:
    """Histograms of the gradient norm before and after it is minimised."""
    bins = np.logspace(np.log10(SMALLEST), 0, 55)
    axes.axvspan(*OTHERS_STOP, color=BAND["color"], zorder=0)
    for name, style in (("adam_norm", BEFORE), ("gradient_norm", AFTER)):
        axes.hist(np.clip(reading.field(history, JUDGED, name), SMALLEST, 1), bins, **style)
    axes.set_xscale("log")
    figures.log_ticks(axes.xaxis)
    axes.set(xlabel="gradient norm", ylabel="trainings", xlim=(SMALLEST, 1))
    axes.yaxis.get_major_locator().set_params(integer=True)


def diagonal(axes: Any, low: float, draws: float) -> None:
    """Square axes from `low` to 1 with the line of equal shares, and where a share of `draws` points strays from it."""
    share = np.linspace(low, 1, 200)
    axes.plot(share, share, **EQUAL)
    if draws:
        error = 2 * np.sqrt(share * (1 - share) / draws)
        axes.fill_between(
            share, share - error, np.minimum(share + error, 1), color=BAND["color"], linewidth=0, zorder=0
        )
    margin = 0.02 * (1 - low)
    axes.set(xlim=(low - margin, 1 + margin), ylim=(low - margin, 1 + margin), aspect="equal")
    axes.yaxis.set_major_locator(axes.xaxis.get_major_locator())


FIGURES = {
    "minimal_ratio": draw_ratio,
    "minimal_ratio_nets": draw_nets,
    "minimal_ratio_ridge": draw_ridge,
    "minimal_ratio_checks": draw_checks,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
