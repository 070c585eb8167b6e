"""Simulate a Function: what the report says of the history of function_fit.py, and claim C1."""

from typing import Any

from common.plain_pickle import are_counts, are_numbers

import numpy as np

from hw1_3 import measures
from report import claims
from report.wording import (
    NOTHING,
    VERDICT_WORDS,
    capital,
    digits,
    listed,
    median_and_range,
    models,
    percent,
    probability,
)

FIGURES = ("function_fit_loss", "function_fit_curves")
LAYERS = {  # as the homework's reference describes the nets, flattest first
    "shallow": "Dense 30, 1",
    "medium": "Dense 4, 6, 4, 4, 1",
    "deep": "Dense 4, 4, 3, 3, 3, 3, 2, 1",
}
# One run of each ReLU net in the earlier report, at the end.
EARLIER = {
    ("f1", "shallow"): "0.0835",
    ("f1", "medium"): "0.0924",
    ("f1", "deep"): "0.00151",
    ("f2", "shallow"): "0.1819",
    ("f2", "medium"): "0.1106",
    ("f2", "deep"): "0.00455",
}
ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh"}
MANY = 20  # runs from which it says something that one more lies beyond them all


def is_unit(unit: str, results: dict[str, Any]) -> bool:
    """Whether this is a unit of function_fit, with its losses and dead nets, one of each a seed."""
    function, _, kind = unit.partition("/")
    activation, _, net = kind.partition("/")
    if function not in ("f1", "f2") or activation not in ACTIVATIONS or net not in LAYERS:
        return False
    losses, born, ended = (results.get(name) for name in ("end_loss", "dead_at_birth", "dead_at_end"))
    lists = are_numbers(losses, (int, float)) and are_numbers(born, bool) and are_numbers(ended, bool)
    return lists and len(losses) == len(born) == len(ended) and are_counts(results, "parameters")


def end_losses(history: dict[str, Any], function: str, activation: str) -> dict[str, dict[str, np.ndarray]]:
    """{net: {"loss", "born_dead", "dead"}}, each (seeds,), of the nets that were measured.

    Nets whose output is constant at the end share one loss, the median of theirs: they differ by round-off and by
    the last steps of a bias, which must not decide an order.
    """
    nets = {}
    for net in ("shallow", "medium", "deep"):
        results = history["results"].get(f"{function}/{activation}/{net}")
        if results is not None:
            nets[net] = {
                "loss": np.array(results["end_loss"], float),
                "born_dead": np.array(results["dead_at_birth"], bool),
                "dead": np.array(results["dead_at_end"], bool),
            }
    constant = np.concatenate([found["loss"][found["dead"]] for found in nets.values()] or [[]])
    for found in nets.values():
        if len(constant):
            found["loss"][found["dead"]] = np.median(constant)
    return nets


def best_of(losses: np.ndarray, group: int = 10) -> np.ndarray:
    """The lowest loss of each ten seeds: what somebody keeps who trains ten times."""
    whole = len(losses) // group * group
    return np.where(np.isnan(losses), np.inf, losses)[:whole].reshape(-1, group).min(axis=1)


def c1(history: dict[str, Any]) -> dict[str, Any]:
    """C1: at equal parameters the deeper net has the lower loss. Judged on all seeds of the ReLU nets.

    Returns verdict, parts, and beside them the comparison of the outer two nets, which decides nothing; each has
    function, lower, higher (names of nets), and for each of `all`, `live` (at birth), `alive` (at the end), `tanh` and
    `best` (of ten) what `lower` returns.
    """
    parts: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    for function in ("f1", "f2"):
        relu, tanh = end_losses(history, function, "relu"), end_losses(history, function, "tanh")
        for deeper, flatter in (("deep", "medium"), ("medium", "shallow"), ("deep", "shallow")):
            views = {
                "all": [relu[net]["loss"] for net in (deeper, flatter) if net in relu],
                "live": [relu[net]["loss"][~relu[net]["born_dead"]] for net in (deeper, flatter) if net in relu],
                "alive": [relu[net]["loss"][~relu[net]["dead"]] for net in (deeper, flatter) if net in relu],
                "tanh": [tanh[net]["loss"] for net in (deeper, flatter) if net in tanh],
                "best": [best_of(relu[net]["loss"]) for net in (deeper, flatter) if net in relu],
            }
            judged = {
                name: claims.lower(*two) if len(two) == 2 else claims.lower([], []) for name, two in views.items()
            }
            told = beside if (deeper, flatter) == ("deep", "shallow") else parts
            told.append({"function": function, "lower": deeper, "higher": flatter, **judged})
    return {"verdict": claims.combined([part["all"]["verdict"] for part in parts]), "parts": parts, "beside": beside}


# ---------------------------------------------------------------------------------------------- the section


def section(found: dict[str, Any]) -> dict[str, Any]:
    """Simulate a Function: dead nets and losses at the end, by function, activation and net."""
    blocks = []
    pairs = [(function, activation) for activation in ("relu", "tanh") for function in ("f1", "f2")]
    losses = {pair: end_losses(found, *pair) for pair in pairs}
    for (function, activation), nets in losses.items():
        if not nets:
            continue
        rows = []
        for net, about in nets.items():
            best = best_of(about["loss"])
            rows.append(
                {
                    "net": net,
                    "born_dead": f"{100 * about['born_dead'].mean():.0f}",
                    "dead": f"{100 * about['dead'].mean():.0f}",
                    "all": median_and_range(about["loss"]),
                    "live": median_and_range(about["loss"][~about["born_dead"]]),
                    "best": digits(float(np.median(best))) if len(best) else NOTHING,
                    "earlier": EARLIER[function, net] if activation == "relu" else NOTHING,
                }
            )
        blocks.append({"function": function, "activation": ACTIVATIONS[activation], "rows": rows})
    verdict = c1(found)
    return {
        "models": models(found, LAYERS),
        "blocks": blocks,
        "parts": [_pairs(part, verdict) for part in [*verdict["parts"], *verdict["beside"]]],
        "claim": claim_1(verdict),
        "answer": answer(found, verdict),
        "comment": comment(found, verdict, EARLIER),
    }


def _pairs(part: dict[str, Any], claim: dict[str, Any]) -> dict[str, Any]:
    """One row of the table of comparisons between two nets on one function; a verdict where it is part of `claim`."""
    views = {}
    for view in ("all", "live", "tanh", "best"):
        share = part[view]["superiority"]
        views[view] = NOTHING if share is None else f"{share:.2f}"
    p = part["all"]["p"]
    outcome = "not measured" if part["all"]["superiority"] is None else part["all"]["verdict"]
    return {
        "function": part["function"],
        "pair": f"{part['lower']} < {part['higher']}",
        "p": NOTHING if p is None else probability(p),
        "verdict": outcome if part in claim["parts"] else NOTHING,
        **views,
    }


def claim_1(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C1 in the table that opens the report."""
    shares: dict[str, list[str]] = {}
    for part in verdict["parts"]:
        if part["all"]["superiority"] is not None:
            words = f"{part['lower']} below {part['higher']} in {percent(part['all']['superiority'])} of pairs"
            shares.setdefault(part["function"], []).append(words)
    evidence = "; ".join(f"{function}: {', '.join(words)}" for function, words in shares.items())
    evidence = f"ReLU nets, {evidence}" if evidence else ""
    return {
        "name": "C1",
        "statement": "With equally many parameters, the deeper net fits both functions better",
        "evidence": evidence or "No two nets to compare",
        "verdict": verdict["verdict"],
        "section": "function_fit",
    }


# -------------------------------------------------------------------------------------------- its sentences


def outcomes(parts: list[dict[str, Any]], view: str) -> list[str]:
    """For each pair of nets which is better where: "medium is worse on f1 and better on f2 than shallow"."""
    words = {claims.HOLDS: "better", claims.FAILS: "worse", claims.UNCLEAR: "neither better nor worse"}
    pairs: dict[tuple[str, str], dict[str, list[str]]] = {}
    for part in parts:
        if part[view]["superiority"] is not None:
            by_outcome = pairs.setdefault((part["lower"], part["higher"]), {})
            by_outcome.setdefault(words[part[view]["verdict"]], []).append(part["function"])
    alike: dict[str, list[str]] = {}
    for (deeper, flatter), by_outcome in pairs.items():
        outcome = listed([f"{word} on {listed(on)}" for word, on in by_outcome.items()])
        alike.setdefault(f"{deeper} is {outcome}", []).append(flatter)
    return [f"{outcome} than {listed(flatter)}" for outcome, flatter in alike.items()]


def answer(found: dict[str, Any], verdict: dict[str, Any]) -> str:
    """In short, whether the deeper of two nets fits better, and how many deep nets are born dead."""
    said = []
    for view, words in (("all", "ReLU"), ("tanh", "tanh")):
        pairs = outcomes([*verdict["parts"], *verdict["beside"]], view)
        if pairs:
            said.append(f"With {words} {'; '.join(pairs)}.")
    relu = {function: end_losses(found, function, "relu").get("deep") for function in ("f1", "f2")}
    born = {function: float(about["born_dead"].mean()) for function, about in relu.items() if about}
    if any(born.values()):
        share = _alike({on: percent(share) for on, share in born.items()})
        said.append(f"Of the deep ReLU nets {share} are born dead: their output is constant, and stays so.")
    return " ".join(said)


def comment(
    found: dict[str, Any], verdict: dict[str, Any], earlier: dict[tuple[str, str], str]
) -> dict[str, list[str]]:
    """Paragraphs under the figures of Simulate a Function: order, dead, live, tanh.

    earlier: {(function, net): loss of one run in the earlier report}.
    """
    order = [f"The claim that depth lowers the loss {VERDICT_WORDS[verdict['verdict']]}."]
    dead, live, tanh = _dead(found), [], []
    order += _outcome(verdict, "all", "over all seeds") + _several(verdict)
    order += _outcome(verdict, "best", "where only the best of each ten seeds is kept")
    order += _changed(verdict, "best", "Keeping the best of ten")
    order += _outside(found, earlier)
    live += _outcome(verdict, "live", "among the nets that were live at birth")
    live += _changed(verdict, "live", "Leaving out the nets that were born dead")
    live += _changed(verdict, "alive", "Leaving out all that are dead at the end")
    tanh += _outcome(verdict, "tanh", "with tanh")
    tanh += _changed(verdict, "tanh", "Tanh in place of ReLU")
    return {"order": order, "dead": dead, "live": live, "tanh": tanh, "why": _why(verdict)}


def _why(verdict: dict[str, Any]) -> list[str]:
    """Whether dying can be why the deep nets are worse than the medium ones, and what might be."""
    parts = [part for part in verdict["parts"] if part["lower"] == "deep"]
    if any(part[view]["verdict"] != claims.FAILS for part in parts for view in ("alive", "tanh")):
        return []
    shares = listed([f"{percent(part['alive']['superiority'])} of pairs on {part['function']}" for part in parts])
    return [
        "Dying is not all that makes deep worse than medium: deep is worse also among the nets that are live at the "
        f"end (below medium in {shares}), and with tanh. The deep net's layers have only 2 to 4 units, and all that a "
        "layer knows of the input has passed through them; whether that is why was not tested."
    ]


def _outcome(verdict: dict[str, Any], view: str, where: str) -> list[str]:
    """One sentence for each verdict on the pairs of nets: which is lower, by the test over seeds."""
    said: dict[str, list[str]] = {}
    for part in verdict["parts"]:
        judged = part[view]
        if judged["superiority"] is None:
            continue
        deeper, flatter = part["lower"], part["higher"]
        share = judged["superiority"]
        words, share = {
            claims.HOLDS: (f"{deeper} is below {flatter}", percent(share)),
            claims.FAILS: (f"{deeper} is above {flatter}", percent(1 - share)),
            claims.UNCLEAR: (f"{deeper} and {flatter} cannot be told apart", f"{deeper} below in {percent(share)}"),
        }[judged["verdict"]]
        said.setdefault(words, []).append(f"{part['function']} ({share} of pairs)")
    if not said:
        return []
    pieces = [f"{words} on {listed(where_said)}" for words, where_said in said.items()]
    return [f"{capital(where)}, {'; '.join(pieces)}."]


def _outside(found: dict[str, Any], earlier: dict[tuple[str, str], str]) -> list[str]:
    """Which of the earlier report's losses lie outside all of ours, with ReLU."""
    said = []
    for (function, net), loss in earlier.items():
        about = end_losses(found, function, "relu").get(net)
        ours = about["loss"][np.isfinite(about["loss"])] if about else []
        if len(ours) < MANY or min(ours) <= float(loss) <= max(ours):
            continue
        where, end, nearest = (
            ("below", "lowest", min(ours)) if float(loss) < min(ours) else ("above", "highest", max(ours))
        )
        said.append(
            f"The earlier report's loss of {net} on {function}, {loss} in one run, lies {where} all {len(ours)} of "
            f"ours ({end} {digits(nearest, 2)}). Made as ours were, one loss named beforehand would do so with a "
            f"probability of 1 in {len(ours) + 1}; this one is picked from {len(earlier)}."
        )
    return said


def _several(verdict: dict[str, Any]) -> list[str]:
    """How large the p of the parts are when they are corrected for being several (Holm 1979)."""
    p_values = [part["all"]["p"] for part in verdict["parts"] if part["all"]["p"] is not None]
    if len(p_values) < 2:
        return []
    largest = float(measures.holm(p_values).max())
    return [
        f"Corrected for being {len(p_values)} (Holm), the largest p of these is {probability(largest)}; the "
        f"other views below are not corrected."
    ]


def _side(judged: dict[str, Any]) -> str:
    """What a comparison of two nets comes to, for the deeper one."""
    return {claims.HOLDS: "below", claims.FAILS: "above", claims.UNCLEAR: "not told apart"}[judged["verdict"]]


def _changed(verdict: dict[str, Any], view: str, what: str) -> list[str]:
    """Whether looking at the nets in another way (`what`, as in `view`) changes what is concluded."""
    both = [
        part
        for part in verdict["parts"]
        if part["all"]["superiority"] is not None and part[view]["superiority"] is not None
    ]
    changed = [
        f"{part['lower']} against {part['higher']} on {part['function']} from {_side(part['all'])} to "
        f"{_side(part[view])}"
        for part in both
        if part[view]["verdict"] != part["all"]["verdict"]
    ]
    if not both:
        return []
    if changed:
        return [f"{what} changes {listed(changed)}."]
    nearest = max(both, key=lambda part: part[view]["p"] or 0.0)
    near = nearest[view]["p"]
    if near is None or not claims.LEVEL / 5 < near < claims.LEVEL:
        return [f"{what} changes none of the verdicts."]
    return [
        f"{what} changes none of the verdicts; nearest to a change is {nearest['lower']} against {nearest['higher']} "
        f"on {nearest['function']}, with a p of {probability(near)}."
    ]


def _alike(by_function: dict[str, str]) -> str:
    """The words of all functions where they are the same, else of each: 56 %; or 56 % on f1 and 60 % on f2."""
    if len(set(by_function.values())) == 1:
        return next(iter(by_function.values()))
    return listed([f"{words} on {function}" for function, words in by_function.items()])


def _dead(found: dict[str, Any]) -> list[str]:
    """How many ReLU nets are constant, what loss they share, and what that does to the median."""
    relu = {function: end_losses(found, function, "relu") for function in ("f1", "f2")}
    relu = {function: nets for function, nets in relu.items() if nets}
    if not relu:
        return []
    if not any(
        about[when].any() for nets in relu.values() for about in nets.values() for when in ("born_dead", "dead")
    ):
        return [f"On {listed(list(relu))} no ReLU net is dead, at birth or at the end."]

    def shares(nets: dict[str, dict[str, np.ndarray]], when: str) -> str:
        return listed([f"{percent(about[when].mean())} of the {net}" for net, about in nets.items()]) + " nets"

    born, ended = ({on: shares(nets, when) for on, nets in relu.items()} for when in ("born_dead", "dead"))
    same = (
        f" (the initial weights are the same on {listed(list(relu))})"
        if len(relu) > len(set(born.values())) == 1
        else ""
    )
    said = [f"{_alike(born)} are born dead{same}; at the end {_alike(ended)} are dead."]
    losses = {
        on: np.concatenate([about["loss"][about["dead"]] for about in nets.values()]) for on, nets in relu.items()
    }
    constant = {function: digits(float(shared[0])) for function, shared in losses.items() if len(shared)}
    most = {on: [net for net, about in nets.items() if about["dead"].mean() > 0.5] for on, nets in relu.items()}
    where = {on: f"the {listed(nets)} nets" for on, nets in most.items() if nets}
    if constant:
        flat = f", and so is the median of {_alike(where)}, most of which are dead" if where else ""
        said.append(f"The loss they share is {_alike(constant)}{flat}.")
    return said
