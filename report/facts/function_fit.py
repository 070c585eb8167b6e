"""Facts of hw1_1/function_fit: losses of three nets of equal size on two functions, dead nets, and claim C1."""

import itertools
from typing import Any

from common import reading
from common.settings import Problem

import numpy as np
from scipy import stats

from report import claims
from report.facts import claim, ends, guard, known, median, models, plain, ratio

FUNCTIONS, ACTIVATIONS = ("f1", "f2"), {"relu": "ReLU", "tanh": "tanh"}
WIDTHS = {"shallow": (30, 1), "medium": (4, 6, 4, 4, 1), "deep": (4, 4, 3, 3, 3, 3, 2, 1)}
PAIRS = DEEP_MEDIUM, MEDIUM_SHALLOW, DEEP_SHALLOW = (("deep", "medium"), ("medium", "shallow"), ("deep", "shallow"))
EARLIER = {  # one run of each ReLU net in the earlier report, at the end
    "f1": {"shallow": 0.0835, "medium": 0.0924, "deep": 0.00151},
    "f2": {"shallow": 0.1819, "medium": 0.1106, "deep": 0.00455},
}
FAR = 10  # times as low: by far
Nets = dict[tuple[str, str, str], dict[str, np.ndarray]]  # by function, activation, net


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers, guards, tables and C1; Problem where no net is of a kind. Factors are between medians over seeds."""
    if history["results"] and not any(set(ACTIVATIONS) & set(unit.split("/")) for unit in history["results"]):
        raise Problem(f"it holds no nets with {' or '.join(ACTIVATIONS.values())}")
    nets = measured(history)
    pairs = compared(nets)
    middle = {name: median(about["loss"]) for name, about in nets.items()}
    relu, tanh = ({name: nets[name] for name in nets if name[1] == kind} for kind in ACTIVATIONS)
    deep = [about for name, about in relu.items() if name[2] == "deep"]
    lowest_deep = min(
        (about["loss"].min() for name, about in relu.items() if name[::2] == ("f1", "deep")), default=None
    )

    def factor(function: str, first: str, second: str) -> float | None:
        """How many times as high the first median is; first, second: activation and net, such as tanh/deep."""
        return ratio(*(middle.get((function, *kind.split("/"))) for kind in (first, second)))

    def over_nets(function: str, activation: str) -> float | None:
        """How many times as high as the lowest the highest median of the three nets is."""
        medians = [middle.get((function, activation, net)) for net in WIDTHS]
        return None if None in medians else ratio(max(medians), min(medians))

    def verdict(function: str, view: str, pair: tuple[str, str]) -> str | None:
        judged = pairs[function, *pair][view]
        return judged["verdict"] if judged["superiority"] is not None else None

    def are(wanted: str, view: str, *which: tuple[str, str]) -> bool | None:
        """Whether these pairs of nets have the wanted verdict on both functions."""
        return guard([verdict(function, view, pair) for function in FUNCTIONS for pair in which], wanted.__eq__)

    by_tanh = {function: factor(function, "relu/medium", "tanh/medium") for function in FUNCTIONS}
    over_deeper = [factor(on, "tanh/shallow", f"tanh/{net}") for on in FUNCTIONS for net in ("medium", "deep")]
    numbers = {
        "seeds": min((len(about["loss"]) for about in nets.values()), default=None),
        "born_dead": max((about["born_dead"].mean() for about in deep), default=None),
        "one_side_off": one_side_off("deep"),
        "both_sides_off": one_side_off("deep") ** 2,
        "alive_below_medium": ends([pairs[on, *DEEP_MEDIUM]["alive"]["superiority"] for on in FUNCTIONS]),
        "shallow_over_deeper": ends(over_deeper),
        "relu_over_tanh": ends(list(by_tanh.values())),
        "earlier_deep": EARLIER["f1"]["deep"],
        "lowest_deep": lowest_deep,
    }
    guards = {
        "relu_deep_worst": are(claims.FAILS, "all", DEEP_MEDIUM, DEEP_SHALLOW),
        "relu_medium_mixed": known(
            lambda *on: on == (claims.FAILS, claims.HOLDS), *(verdict(on, "all", MEDIUM_SHALLOW) for on in FUNCTIONS)
        ),
        "most_deep_born_dead": guard(deep, lambda about: about["born_dead"].mean() > 0.5),
        "dead_as_chance_has_it": guard(relu.items(), lambda item: by_chance(item[0][2], item[1]["born_dead"])),
        "alive_deep_worst": are(claims.FAILS, "alive", DEEP_MEDIUM, DEEP_SHALLOW),
        "no_tanh_dead": guard(tanh.values(), lambda about: not (about["born_dead"] | about["dead"]).any()),
        "tanh_deeper_better": known(
            lambda surely, *times: surely and min(times) >= FAR,
            are(claims.HOLDS, "tanh", MEDIUM_SHALLOW, DEEP_SHALLOW),
            *over_deeper,
        ),
        "tanh_medium_best": guard([are(claims.HOLDS, "tanh", MEDIUM_SHALLOW), are(claims.FAILS, "tanh", DEEP_MEDIUM)]),
        "activation_outweighs": guard(
            [ratio(by_tanh[on], over_nets(on, kind)) for on in FUNCTIONS for kind in ACTIVATIONS],
            lambda times: times > 1,
        ),
        "shallow_indifferent": known(lambda times: 0.8 < times < 1.25, factor("f1", "relu/shallow", "tanh/shallow")),
        "earlier_deep_beyond": known(lambda lowest: EARLIER["f1"]["deep"] < lowest, lowest_deep),
    }
    statement = "At equal parameter count, the deeper the net, the lower the loss, on both functions"
    parts = [about["all"] for name, about in pairs.items() if name[1:] != DEEP_SHALLOW]  # of ReLU nets
    layers = {net: ", ".join(map(str, widths)) for net, widths in WIDTHS.items()}
    tables = {"nets": models(history, layers), "losses": losses(nets), "pairs": rows(pairs)}
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim("C1", statement, parts)]})


def measured(history: dict[str, Any]) -> Nets:
    """loss, born_dead and dead, each (seeds,), of the nets that are measured.

    Nets of one function and activation whose output is constant at the end share one loss, the median of theirs: they
    differ by round-off and by the last steps of a bias, which must not decide an order.
    """
    nets: Nets = {}
    for function, activation in itertools.product(FUNCTIONS, ACTIVATIONS):
        units = {(function, activation, net): f"{function}/{activation}/{net}" for net in WIDTHS}
        group = {
            name: {
                "loss": reading.field(history, unit, "end_loss"),
                "born_dead": reading.field(history, unit, "dead_at_birth") > 0,
                "dead": reading.field(history, unit, "dead_at_end") > 0,
            }
            for name, unit in units.items()
            if unit in history["results"]
        }
        constant = [loss for about in group.values() for loss in about["loss"][about["dead"]]]
        for about in group.values():
            about["loss"][about["dead"]] = np.median(constant) if constant else np.nan
        nets |= group
    return nets


def best_of(losses: np.ndarray, group: int = 10) -> np.ndarray:
    """The lowest loss of each ten seeds: what somebody keeps who trains ten times."""
    whole = len(losses) // group * group
    return np.where(np.isnan(losses), np.inf, losses)[:whole].reshape(-1, group).min(axis=1)


def one_side_off(net: str) -> float:
    """The chance that before training a ReLU net with zero biases is 0 for all x > 0.

    Each weight is as likely to be positive as negative, so all n units of a layer are off with probability 2 ** -n,
    whatever reaches them.
    """
    return 1 - float(np.prod([1 - 2.0**-width for width in WIDTHS[net][:-1]]))


def by_chance(net: str, born_dead: np.ndarray) -> bool:
    """Whether the share of nets born dead is what that chance gives: its square if the two sides of 0 die apart, itself
    if they die together. The share's 95 % interval must meet that range."""
    interval = stats.binomtest(int(born_dead.sum()), len(born_dead)).proportion_ci()
    return interval.low <= one_side_off(net) and interval.high >= one_side_off(net) ** 2


def compared(nets: Nets) -> dict[tuple[str, str, str], dict[str, dict[str, Any]]]:
    """By function, deeper and flatter net, what `claims.lower` says of all, alive, best and tanh nets."""
    views = {
        "all": ("relu", lambda about: about["loss"]),
        "alive": ("relu", lambda about: about["loss"][~about["dead"]]),
        "best": ("relu", lambda about: best_of(about["loss"])),
        "tanh": ("tanh", lambda about: about["loss"]),
    }
    return {
        (function, *pair): {
            view: claims.lower(
                *(seen(nets[function, kind, net]) if (function, kind, net) in nets else [] for net in pair)
            )
            for view, (kind, seen) in views.items()
        }
        for function in FUNCTIONS
        for pair in PAIRS
    }


def losses(nets: Nets) -> list[dict[str, Any]]:
    """A row for each net: shares of dead nets, and losses after the last epoch."""
    return [
        {
            "function": function,
            "activation": ACTIVATIONS[activation],
            "net": net,
            "born_dead": about["born_dead"].mean(),
            "dead": about["dead"].mean(),
            "loss": median(about["loss"]),
            "range": ends(about["loss"].tolist()),
            "alive": median(about["loss"][~about["dead"]]),
            "best": median(best_of(about["loss"])),
            "earlier": EARLIER[function][net] if activation == "relu" else None,
        }
        for (function, activation, net), about in nets.items()
    ]


def rows(pairs: dict) -> list[dict[str, Any]]:
    """A row for each comparison: shares of pairs of seeds in which the deeper net's loss is the lower one."""
    return [
        {"function": function, "deeper": deeper, "flatter": flatter, "p": about["all"]["p"]}
        | {"verdict": about["all"]["verdict"] if (deeper, flatter) != DEEP_SHALLOW else None}
        | {view: judged["superiority"] for view, judged in about.items()}
        for (function, deeper, flatter), about in pairs.items()
    ]
