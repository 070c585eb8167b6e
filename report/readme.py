"""The README's tables of verdicts, results and times, made of what the report shows of the committed histories.

build.py writes them at paper scale, each between two marks, together with the report.
"""

import re
from collections.abc import Callable
from typing import Any

from common.settings import Problem

from report import function_fit, image_nets

BEGIN, END = "<!-- results: {stamp}, written by report/build.py -->", "<!-- end of results -->"
BLOCK = re.compile(
    r"<!-- results: (?P<stamp>[\w-]*), written by report/build\.py -->\n.*?<!-- end of results -->", re.DOTALL
)
TIMES_BEGIN, TIMES_END = "<!-- times, written by report/build.py -->", "<!-- end of times -->"
TIMES_BLOCK = re.compile(f"{TIMES_BEGIN}\n.*?{TIMES_END}", re.DOTALL)
QUESTIONS = {
    "hw1_1/function_fit": "1-1 Simulate a Function",
    "hw1_1/cifar10_cnn": "1-1 Train on Actual Tasks: CIFAR-10",
    "hw1_1/mnist_cnn": "1-1 Train on Actual Tasks: MNIST",
    "hw1_2/param_pca": "1-2 Visualize the optimization process",
    "hw1_2/grad_norm": "1-2 Observe gradient norm during training",
    "hw1_2/minimal_ratio": "1-2 What happens when gradient is almost zero",
    "hw1_2/error_surface": "1-2 Bonus: error surface",
    "hw1_3/random_labels": "1-3 Can network fit random labels?",
    "hw1_3/param_count": "1-3 Number of parameters v.s. Generalization",
    "hw1_3/interpolation": "1-3 Flatness v.s. Generalization, part 1",
    "hw1_3/sensitivity": "1-3 Flatness v.s. Generalization, part 2",
    "hw1_3/sharpness": "1-3 Bonus: other measures of generalization",
}


def with_results(text: str, numbers: dict[str, Any], stamp: str) -> str:
    """The README's `text` with the tables of these numbers; Problem where the marks are not there."""
    begin = BEGIN.format(stamp=stamp)
    text = _between(text, BLOCK, [begin, *_verdicts(numbers), "", *_results(numbers), END])
    return _between(text, TIMES_BLOCK, [TIMES_BEGIN, *_times(numbers), TIMES_END])


def _between(text: str, block: re.Pattern, lines: list[str]) -> str:
    """The text with these lines, the first and last of which are marks, in place of its block."""
    new, count = block.subn(lambda _: "\n".join(lines), text)
    if count != 1:
        raise Problem(f"README.md needs one pair of lines such as {lines[0]!r} and {lines[-1]!r}: restore them")
    return new


def stamp_of(text: str) -> str:
    """Which report the README's tables go with; empty where they are missing."""
    found = BLOCK.search(text)
    return found["stamp"] if found else ""


def _verdicts(numbers: dict[str, Any]) -> list[str]:
    rows = [(claim["name"], claim["statement"], _evidence(claim), claim["verdict"]) for claim in numbers["claims"]]
    return _table(("", "claim of the earlier report", "evidence here", "verdict"), rows)


def _evidence(claim: dict[str, Any]) -> str:
    return claim["evidence"] if isinstance(claim["evidence"], str) else "; ".join(claim["evidence"])


def _results(numbers: dict[str, Any]) -> list[str]:
    rows = []
    for script, what, here, earlier in RESULTS:
        section = numbers["sections"][script.split("/")[1]]
        if section["facts"]:
            continue
        if section["state"] in ("complete", "partial"):
            value = here(section) + (f" ({section['words']})" if section["state"] == "partial" else "")
        else:
            value = "not measured" if section["state"] == "missing" else section["words"]
        rows.append((what, value, earlier, f"`python {script}.py --scale paper`"))
    return _table(("result", "here", "earlier report", "command"), rows)


def _times(numbers: dict[str, Any]) -> list[str]:
    rows = []
    for about in numbers["histories"]:
        time, memory = about.get("wall", "not measured"), about.get("memory", "")
        if about["state"] == "partial":
            time += f" so far ({about['words']})"
        rows.append(
            (QUESTIONS[about["experiment"]], f"`{about['experiment']}.py`", time, f"{memory} GB" * bool(memory))
        )
    return _table(("question", "script", "paper scale", "peak memory"), rows)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    cells = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |" for row in cells]


def _losses(function: str, activation: str) -> Callable[[dict], str]:
    def here(section: dict) -> str:
        block = _where(section["blocks"], function=function, activation=activation) or {"rows": []}
        rows = [_where(block["rows"], net=net) for net in function_fit.LAYERS]
        return " / ".join(row["all"]["median"] if row else "not measured" for row in rows)

    return here


def _accuracies(section: dict) -> str:
    return " / ".join(row["test_accuracy"]["median"] for row in section["rows"] if row["net"] != "earlier report")


def _earlier(name: str) -> str:
    return " / ".join(net["test_accuracy"] for net in image_nets.EARLIER[f"hw1_1/{name}"].values())


def _where(rows: list[dict], **wanted: str) -> dict[str, str] | None:
    """The first row with these entries."""
    return next((row for row in rows if all(row[name] == value for name, value in wanted.items())), None)


def _one(rows: str, name: str, **wanted: str) -> Callable[[dict], str]:
    """One entry of one row of a section's table."""

    def here(section: dict) -> str:
        row = _where(section[rows], **wanted)
        return row[name] if row else "not measured"

    return here


def _first_epochs(section: dict) -> str:
    runs = [row["reference"] for row in section["rows"] if row["labels"] == "shuffled"]
    return ", ".join(runs) or "not measured"


def _best(section: dict) -> str:
    return section["best"] or "not measured"


def _over_all(measure: str) -> Callable[[dict], str]:
    """Kendall's tau over all nets and at fixed batch size, of those stopped at equal training loss."""

    def here(section: dict) -> str:
        table = _where(section["tables"], stop="equal_loss")
        row = _where(table["rows"], words=measure) if table else None
        return f"{row['all']}; at fixed batch size {row['fixed']}" if row else "not measured"

    return here


def _barriers(section: dict) -> str:
    starts = ("same start", "other start", "other start, units matched")
    rows = [_where(section["lines"], unit="converged", start=start) for start in starts]
    return " / ".join(row["barrier"].split()[0] if row else "not measured" for row in rows)


RESULTS: tuple[tuple[str, str, Callable[[dict], str], str], ...] = (  # script, what, here, earlier report
    (
        "hw1_1/function_fit",
        "f1, ReLU: median loss of shallow / medium / deep",
        _losses("f1", "ReLU"),
        " / ".join(loss for (function, _), loss in function_fit.EARLIER.items() if function == "f1") + " (one run)",
    ),
    ("hw1_1/function_fit", "f1, tanh: the same", _losses("f1", "tanh"), ""),
    ("hw1_1/cifar10_cnn", "CIFAR-10 test accuracy, %: shallow / middle / deep", _accuracies, _earlier("cifar10_cnn")),
    ("hw1_1/mnist_cnn", "MNIST test accuracy, %: shallow / middle / deep", _accuracies, _earlier("mnist_cnn")),
    (
        "hw1_2/param_pca",
        "distance of two ends, units matched: different starts",
        _one("rows", "matched", words="different starts"),
        "",
    ),
    ("hw1_2/param_pca", "the same: one start", _one("rows", "matched", words="one start"), ""),
    (
        "hw1_2/grad_norm",
        "rank correlation of gradient norm and loss, large scale",
        _one("rows", "large_scale", arm="MNIST, Adam"),
        "",
    ),
    (
        "hw1_2/minimal_ratio",
        "rank correlation of loss and share of higher points",
        _one("rows", "sampled", net="1-4-1"),
        "",
    ),
    (
        "hw1_2/error_surface",
        "loss at the line's end over its lowest, SGD",
        _one("rows", "ratio", optimizer="SGD", loss="training"),
        "6",
    ),
    ("hw1_3/random_labels", "epochs to loss 0.055 and 98.9 %, clean / running", _first_epochs, "about 530 (running)"),
    (
        "hw1_3/param_count",
        "highest test accuracy, % at units a layer",
        _best,
        "98.50 at 1,024",
    ),
    ("hw1_3/interpolation", "barrier, nats: same start / other start / units matched", _barriers, "0.0005"),
    (
        "hw1_3/sensitivity",
        "lowest test loss at batch size, equal updates",
        _best,
        "near 50 in the text",
    ),
    (
        "hw1_3/sharpness",
        "Kendall's tau of the gap with the largest eigenvalue",
        _over_all("largest eigenvalue"),
        "not done",
    ),
)
