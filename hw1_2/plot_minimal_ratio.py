"""Draw the points where the gradient is almost zero, from the history of minimal_ratio.py.

minimal_ratio             minimal ratio against loss, a row for each net, a column for each definition
minimal_ratio_norm        gradient norms after Adam and after minimising them
minimal_ratio_predicted   the share found on spheres against the one that the Hessian's eigenvalues predict

    python hw1_2/plot_minimal_ratio.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings

import numpy as np

NETS = ("1-4-1", "1-8-1", "1-4-4-1")
RECIPE = "1-40-40-1"  # the net of an earlier report's recipe
MARKERS = {"minimum": "o", "saddle": "^", "flat": "s", "unfinished": "x"}
RADIUS = 2  # of the history's radii: the middle one, 0.001 of the weights' norm
RATIOS = {
    "sampled": "higher on a sphere",
    "not_negative": "not negative",
    "positive_share": "positive",
}
JITTER = 0.05  # width of the strip across which equal ratios are spread, as a share of the axis
OTHERS_STOP = (1e-3, 5e-3)  # gradient norms at which other public answers to this homework call it zero
DARKEST, BRIGHTEST = 0.0, 0.85  # of the colour map: its yellow vanishes on paper
BEFORE = {"color": "#DDAA33"}
AFTER = {"histtype": "step", "color": "#004488", "linewidth": 1.2}  # an outline, seen over the other as well
STOP = {"color": "#E8E8E8", "linewidth": 7}
EQUAL = {"color": "black", "linewidth": 0.8, "linestyle": "-"}
POINT = {"linestyle": "", "marker": "o", "markersize": 3, "color": "#004488", "alpha": 0.45, "markeredgewidth": 0}
SHARES = {
    "1-4-1": {"color": "#004488", "marker": "o"},
    "1-8-1": {"color": "#BB5566", "marker": "s"},
    "1-4-4-1": {"color": "#997700", "marker": "^"},
}
ERRORS = {"color": "#E8E8E8", "linewidth": 7}
SMALLEST = 1e-18  # a norm of 0 is drawn here


def nets_of(history: dict) -> list[str]:
    """The nets that were taken to zero gradient."""
    return [net for net in NETS if net in history["results"]]


def ratio_of(history: dict, net: str, name: str) -> np.ndarray:
    """(nets,): a minimal ratio, of the middle radius where there are several; `not_negative` is one as well."""
    if name == "not_negative":
        return 1 - reading.field(history, net, "negative_share")
    values = reading.field(history, net, name)
    return values[:, RADIUS] if values.ndim == 2 else values


def draw_ratio(history: dict) -> Any:
    """Ratio (x) against loss (y, log): colour by gradient norm, marker by kind, hollow where units cancel."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm

    nets = nets_of(history)
    if not nets:
        return figures.unmeasured("the nets", figures.caveats(history, [*NETS, RECIPE]))
    figure, panels = figures.grid(len(nets), len(RATIOS), 1.45 * len(nets) + 0.9, sharex="col", sharey="row")
    norms = {net: np.maximum(reading.field(history, net, "gradient_norm"), SMALLEST) for net in nets}
    colours = ListedColormap(colormaps["viridis"](np.linspace(DARKEST, BRIGHTEST, 256)))
    known = np.concatenate([each[np.isfinite(each)] for each in norms.values()])
    shade = ScalarMappable(LogNorm(min(known, default=SMALLEST), max(known, default=1.0)), colours)
    for net, row in zip(nets, panels, strict=True):
        loss, kinds = reading.field(history, net, "loss"), reading.words(history, net, "kind")
        cancelled = reading.field(history, net, "channel").astype(bool)
        for axes, name in zip(row, RATIOS, strict=True):
            strip = JITTER * (1 - min(np.nanmin(ratio_of(history, each, name)) for each in nets))
            x = np.minimum(ratio_of(history, net, name), 1 - strip / 2)  # so that no mark lies beyond 1
            x = x + figures.scattered(0, loss, strip)
            colours = shade.to_rgba(norms[net])
            for kind, marker in MARKERS.items():
                for hollow in (False, True):
                    chosen = (kinds == kind) & (cancelled == hollow)
                    if chosen.any():
                        points = axes.scatter(x[chosen], loss[chosen], s=14, c=colours[chosen], marker=marker)
                        points.set(linewidths=0.8, edgecolors=colours[chosen])
                        if hollow:
                            points.set_facecolors("none")
            axes.set_yscale("log")
        row[0].set_ylabel(f"{net}: loss")
        if (loss > 1e-4).any() and np.nanmin(loss) > 1e-4:  # else powers of ten, as matplotlib writes them
            figures.log_ticks(row[0].yaxis)
    for axes, name in zip(panels[-1], RATIOS, strict=True):
        axes.set_xlim(right=1.02)
        axes.xaxis.get_major_locator().set_params(nbins=4)
        axes.set_xlabel("share of points" if name == "sampled" else "share of eigenvalues")
    figures.letters(panels.flat, [*RATIOS.values(), *[""] * (len(RATIOS) * (len(nets) - 1))])
    figure.colorbar(shade, ax=panels, shrink=0.6, aspect=30, label="gradient norm").ax.grid(visible=False)
    hollow = {"markerfacecolor": "none", "markeredgecolor": figures.NEUTRAL}
    look = {"linestyle": "", "markersize": 4}
    entries = {kind: look | {"marker": MARKERS[kind]} for kind in MARKERS if any_of(history, nets, kind)}
    figures.key(figure, entries | {"hollow: units cancel": look | {"marker": "o"} | hollow})
    figures.subtitle(figure, figures.caveats(history, [*NETS, RECIPE]))
    return figure


def any_of(history: dict, nets: list[str], kind: str) -> bool:
    """Whether some net ended at such a point."""
    return any(kind in reading.words(history, net, "kind") for net in nets)


def draw_norm(history: dict) -> Any:
    """Histograms of the gradient norm, a panel for each net and for the earlier report's recipe."""
    names = dict.fromkeys(nets_of(history), ("adam_norm", "gradient_norm"))
    if RECIPE in history["results"]:
        names[RECIPE] = ("norm_before", "norm_after")
    if not names:
        return figures.unmeasured("the nets", figures.caveats(history, [*NETS, RECIPE]))
    rows = -(-len(names) // 2)
    figure, panels = figures.grid(rows, min(2, len(names)), 1.7 * rows + 0.5, sharex=True)
    for axes in panels.flat[len(names) :]:
        axes.remove()
    bins = np.logspace(np.log10(SMALLEST), 0, 55)
    for axes, (net, (before, after)) in zip(panels.flat, names.items(), strict=False):
        axes.axvspan(*OTHERS_STOP, color=STOP["color"], zorder=0)
        for name, style in ((before, BEFORE), (after, AFTER)):
            axes.hist(np.clip(reading.field(history, net, name), SMALLEST, 1), bins, **style)
        axes.set_xscale("log")
        axes.set_ylabel("nets")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(SMALLEST, 1)
    for axes in panels[-1]:
        axes.set_xlabel("gradient norm")
    figures.letters(panels.flat[: len(names)], ["the earlier recipe" if net == RECIPE else net for net in names])
    entries = {"loss minimised": BEFORE | {"linewidth": 7}}
    entries["gradient norm minimised"] = {"color": AFTER["color"], "linewidth": 1.2}
    figures.key(figure, entries | {"where other answers stop": STOP})
    figures.subtitle(figure, figures.caveats(history, [*NETS, RECIPE]))
    return figure


def draw_predicted(history: dict) -> Any:
    """Sampled against predicted share, all nets in one panel; the earlier recipe's in float32 against float64."""
    nets = nets_of(history)
    recipe = RECIPE in history["results"]
    if not nets and not recipe:
        return figures.unmeasured("the nets", figures.caveats(history, [*NETS, RECIPE]))
    figure, panels = figures.grid(1, bool(nets) + recipe, 2.9)
    shares = [(reading.field(history, net, "predicted"), ratio_of(history, net, "sampled")) for net in nets]
    if nets:
        axes = panels[0, 0]
        for net, pair in zip(nets, shares, strict=True):
            axes.plot(*pair, **POINT | SHARES[net])
        low = np.floor(20 * min(np.nanmin(each) for pair in shares for each in pair) - 0.2) / 20
        diagonal(axes, max(0.0, low), reading.setting(history, "sphere_points"))
        axes.set(xlabel="predicted share", ylabel="sampled share")
    if recipe:
        axes = panels[0, -1]
        axes.plot(reading.field(history, RECIPE, "exact_ratio"), reading.field(history, RECIPE, "ratio"), **POINT)
        diagonal(axes, 0.0, 0)
        axes.set(xlabel="share in float64", ylabel="share in float32")
    titles = ["share of higher points"] * bool(nets) + ["share of the earlier recipe"] * recipe
    figures.letters(panels.flat, titles)
    entries = {net: POINT | SHARES[net] | {"alpha": 1} for net in nets}
    entries |= {"equal": EQUAL} | ({"two standard errors": ERRORS} if nets else {})
    figures.key(figure, entries)
    figures.subtitle(figure, figures.caveats(history, [*NETS, RECIPE]))
    return figure


def diagonal(axes: Any, low: float, draws: float) -> None:
    """Square axes from `low` to 1 with the line of equal shares, and where a share of `draws` points strays from it."""
    share = np.linspace(low, 1, 200)
    axes.plot(share, share, **EQUAL)
    if draws:
        error = 2 * np.sqrt(share * (1 - share) / draws)
        axes.fill_between(
            share, share - error, np.minimum(share + error, 1), color=ERRORS["color"], linewidth=0, zorder=0
        )
    margin = 0.02 * (1 - low)
    axes.set(xlim=(low - margin, 1 + margin), ylim=(low - margin, 1 + margin), aspect="equal")
    axes.yaxis.set_major_locator(axes.xaxis.get_major_locator())


FIGURES = {
    "minimal_ratio": draw_ratio,
    "minimal_ratio_norm": draw_norm,
    "minimal_ratio_predicted": draw_predicted,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
