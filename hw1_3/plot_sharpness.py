"""Draw measures of flatness, norm and sensitivity against the generalization gap, from the history of sharpness.py.

sharpness            at equal training loss: test accuracy and largest eigenvalue by batch size, the eigenvalue against
                     the gap, and Kendall's tau of each measure with the gap
sharpness_measures   six measures against the gap at equal training loss, a mark a net, a colour a batch size

    python hw1_3/plot_sharpness.py
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, settings

import numpy as np

from hw1_3 import measures

PANELS = {  # measure: title, axis
    "wide": ("sharpness, wide box", "%"),
    "top": ("largest eigenvalue", "nats"),
    "trace_exact": ("trace of the Hessian", "nats"),
    "train_jacobian": ("Jacobian of the softmax", "mean norm, pixels 0 to 1"),
    "path_norm": ("path norm", "square root of a sum over paths"),
    "distance": ("distance from the start", "length of a vector of weights"),
}
MARKERS = "osD^vP<>"  # repeated where there are more batch sizes; told apart in a grey print
SEQUENCE = (0.0, 0.85)  # of the colour map, whose end is too light on white
KINDS = {  # of tau: words, marker, colour, place below the measure's line
    "all": ("all pairs of nets", "o", "#004488", -0.17),
    "fixed": ("pairs of one batch size", "s", "#BB5566", 0.17),
}
NET = {"color": "#004488", "linestyle": "", "marker": "o", "markersize": 3.2, "markeredgewidth": 0, "alpha": 0.5}
MEDIAN = {"color": "black", "linewidth": 1.1, "zorder": 3}


def groups_of(history: dict) -> list[str]:
    """The units that a whole history has."""
    return list(history["units"])


def styles_of(sizes: list[int]) -> dict[int, dict[str, Any]]:
    """Marker and colour of each batch size, from dark for the smallest to light for the largest."""
    import matplotlib

    places = np.linspace(*SEQUENCE, len(sizes)) if len(sizes) > 1 else [0.4]
    colours = matplotlib.colormaps["viridis"](places)
    look = {"linestyle": "", "markersize": 3.2, "markeredgewidth": 0, "alpha": 0.85}
    return {
        size: look | {"color": tuple(colour), "marker": MARKERS[place % len(MARKERS)]}
        for place, (size, colour) in enumerate(zip(sizes, colours, strict=True))
    }


def draw_against_gap(history: dict) -> Any:
    """Measures, on logarithmic axes, against test loss less training loss."""
    nets = measures.nets_of(history, "equal_loss")
    if not len(nets["gap"]):
        return figures.unmeasured("nets at equal training loss", figures.caveats(history, groups_of(history)))
    sizes = sorted({int(size) for size in nets["batch_size"]})
    styles = styles_of(sizes)
    figure, panels = figures.grid(2, 3, 2.7, sharey=True)
    for axes, (name, (_, unit)) in zip(panels.flat, PANELS.items(), strict=True):
        axes.set_xscale("log")
        for size in sizes:
            there = nets["batch_size"] == size
            axes.plot(nets[name][there], nets["gap"][there], **styles[size])
        axes.set_xlabel(unit)
        few_ticks(axes.xaxis)
    for axes in panels[:, 0]:
        axes.set_ylabel("gap in loss (nats)")
    figures.letters(panels.flat, [title for title, _ in PANELS.values()])
    entries = {f"batch {size}": styles[size] | {"markersize": 5} for size in sizes}
    figures.key(figure, entries, columns=min(4, len(entries)))
    figures.subtitle(figure, figures.caveats(history, groups_of(history)))
    return figure


def few_ticks(axis: Any) -> None:
    """Plain numbers on a log axis that may span less than a decade: about four, never touching."""
    from matplotlib import ticker

    low, high = np.log10(axis.get_view_interval())
    if high - low > 0.7:
        figures.log_ticks(axis)
        if 1.3 < high - low < 2.2:
            axis.set_major_locator(ticker.LogLocator(subs=(1, 3), numticks=20))
        return
    axis.set_major_locator(ticker.MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, place: f"{value:g}"))


def draw_finding(history: dict) -> Any:
    """At equal training loss: what batch size does to accuracy and curvature, and how both go with the gap."""
    from matplotlib.figure import Figure

    nets = measures.nets_of(history, "equal_loss")
    if not len(nets.get("gap", ())):
        return figures.unmeasured("nets at equal training loss", figures.caveats(history, groups_of(history)))
    figure = Figure(figsize=(figures.WIDE, 4.0))
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.3))
    (accuracy, eigenvalue, scatter), taus = above.subplots(1, 3), below.subplots()
    sizes = sorted({int(size) for size in nets["batch_size"]})
    draw_by_size(accuracy, sizes, nets, 100 * nets["test_accuracy"])
    draw_by_size(eigenvalue, sizes, nets, nets["top"])
    eigenvalue.set_yscale("log")
    few_ticks(eigenvalue.yaxis)
    accuracy.set_ylabel("accuracy (%)")
    eigenvalue.set_ylabel("eigenvalue (nats)")
    draw_scatter(scatter, sizes, nets)
    tell_change(accuracy, sizes, nets)
    draw_tau(taus, measures.correlations(nets) if len(nets["gap"]) > 1 else {})
    figures.letters(
        (accuracy, eigenvalue, scatter, taus),
        ("test accuracy", "largest eigenvalue", "eigenvalue and gap", "each measure and the gap"),
    )
    entries = {words: {"linestyle": "-", "marker": mark, "color": hue} for words, mark, hue, _ in KINDS.values()}
    hollow = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markeredgecolor": figures.NEUTRAL}
    figures.key(figure, entries | {"hollow: may be 0": hollow})
    figures.subtitle(figure, figures.caveats(history, groups_of(history)))
    return figure


def draw_by_size(axes: Any, sizes: list[int], nets: dict[str, np.ndarray], values: np.ndarray) -> None:
    """A quantity (nets,) against batch size: a mark a net, medians joined."""
    axes.plot(nets["batch_size"], values, **NET)
    axes.plot(sizes, [np.median(values[nets["batch_size"] == size]) for size in sizes], **MEDIAN)
    shown = sizes[:: max(1, (len(sizes) + 1) // 3)]
    axes.set(xscale="log", xlabel="batch size")
    axes.set_xticks(shown, [f"{size:,}" for size in shown])
    axes.minorticks_off()


def draw_scatter(axes: Any, sizes: list[int], nets: dict[str, np.ndarray]) -> None:
    """The gap against the largest eigenvalue, coloured by batch size, of which the first and the last are named."""
    for size, style in styles_of(sizes).items():
        there = nets["batch_size"] == size
        axes.plot(nets["top"][there], nets["gap"][there], **style | {"marker": "o"})
        if size in (sizes[0], sizes[-1]):
            spot = (float(np.median(nets["top"][there])), float(np.median(nets["gap"][there])))
            place = (0.24, 0.66) if size == sizes[0] else (0.42, 0.93)
            figures.note(axes, f"batch {size:,}", spot, place)
    axes.set(xscale="log", xlabel="largest eigenvalue (nats)", ylabel="gap in loss (nats)")
    few_ticks(axes.xaxis)


def tell_change(axes: Any, sizes: list[int], nets: dict[str, np.ndarray]) -> None:
    """Write at the largest batch size how far its mean test accuracy is from that of the smallest."""
    small, large = (100 * nets["test_accuracy"][nets["batch_size"] == size] for size in (sizes[0], sizes[-1]))
    change = f"{large.mean() - small.mean():+.1f} points".replace("-", "\N{MINUS SIGN}")
    if len(sizes) > 1:
        figures.note(axes, change, (sizes[-1], float(np.median(large))), (0.66, 0.93))


def draw_tau(axes: Any, found: dict[str, dict[str, Any]]) -> None:
    """Tau of each measure with the gap in loss, and its interval; filled where it differs from 0 after correction."""
    for place, name in enumerate(measures.MEASURES):
        for kind, (_, marker, colour, below) in KINDS.items():
            about = found.get(name, {}).get(kind)
            if about is None or not np.isfinite(about["tau"]):
                continue
            sure = about["p"] < measures.LEVEL
            axes.plot(about["interval"], 2 * [place + below], color=colour, linewidth=0.9)
            face = {"markerfacecolor": colour if sure else "white", "markeredgecolor": colour}
            axes.plot(about["tau"], place + below, marker=marker, **face)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("Kendall's tau with the gap in loss")
    axes.set_xlim(-1.02, 1.02)
    axes.set_xticks((-1, -0.5, 0, 0.5, 1), ("\N{MINUS SIGN}1", "\N{MINUS SIGN}0.5", "0", "0.5", "1"))
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(measures.MEASURES)), measures.MEASURES.values())
    axes.set_ylim(len(measures.MEASURES) - 0.5, -0.5)


FIGURES = {
    "sharpness": draw_finding,
    "sharpness_measures": draw_against_gap,
}


def main() -> None:
    drawing = figures.start(__file__, __doc__, FIGURES)
    for name in drawing.due:
        drawing.save(name, FIGURES[name](drawing.history))


if __name__ == "__main__":
    with settings.one_message():
        main()
