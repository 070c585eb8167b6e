"""What the README shows of the report: its findings, its verdicts, and a table of the questions.

build.py writes them at paper scale, each between two marks, together with the report.
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.settings import ROOT, Problem

MARK = "<!-- {name}: {stamp}, written by report/build.py -->"
END = "<!-- end of {name} -->"
FINDINGS = 5  # of those on the report's first page, the first ones that are borne out
TITLE = re.compile(r'^#let title = "([^"]*)"', re.MULTILINE)  # of a section


def with_results(text: str, numbers: dict[str, Any], noted: Callable[[str], list[dict[str, Any]]], stamp: str) -> str:
    """The README's `text` with what this report says; Problem where the marks are not there.

    noted: gives what the layout notes as `finding`, `evidence` and `page` (see `build.noted`).
    """
    evidence = {item["name"]: _markdown(item["body"]) for item in noted("evidence")}
    claims = [
        (claim["name"], claim["statement"], evidence.get(claim["name"], ""), claim["verdict"])
        for claim in numbers["claims"]
    ]
    blocks = {
        "findings": _findings(noted("finding")),
        "claims": _table(("", "claim of the earlier report", "what we measured", "verdict"), claims),
        "questions": _questions(numbers, {item["section"]: item["page"] for item in noted("page")}),
    }
    for name, lines in blocks.items():
        begin, end = MARK.format(name=name, stamp=stamp), END.format(name=name)
        new, count = _block(name).subn(lambda _, all_lines=(begin, *lines, end): "\n".join(all_lines), text)
        if count != 1:
            raise Problem(f"README.md needs one pair of lines such as {begin!r} and {end!r}: restore them")
        text = new
    return text


def stamp_of(text: str) -> str:
    """Which report the README goes with; empty where its blocks are missing or differ in it."""
    stamps = {found["stamp"] for name in ("findings", "claims", "questions") for found in _block(name).finditer(text)}
    return stamps.pop() if len(stamps) == 1 else ""


def _block(name: str) -> re.Pattern:
    begin = re.escape(MARK).replace(r"\{name\}", name).replace(r"\{stamp\}", r"(?P<stamp>[\w-]*)")
    return re.compile(f"{begin}\n.*?{re.escape(END.format(name=name))}", re.DOTALL)


def _findings(findings: list[dict[str, Any]]) -> list[str]:
    lines = []
    for finding in findings[:FINDINGS]:
        words = " ".join(_markdown(finding["body"]).split())
        lines.append(f"- {words} ([figure](figures/{finding['figure']}.png))")
    return lines or ["Nothing is measured yet."]


def _markdown(content: Any) -> str:
    """A sentence that typst was asked for, as Markdown."""
    if isinstance(content, list):
        return "".join(map(_markdown, content))
    kind = content.get("func")
    if kind == "strong":
        return f"**{_markdown(content['body'])}**"
    if kind == "emph":
        return f"*{_markdown(content['body'])}*"
    if kind == "smartquote":
        return '"' if content.get("double", True) else "'"
    return content.get("text") or (" " if kind == "space" else _markdown(content.get("children", [])))


def _questions(numbers: dict[str, Any], pages: dict[str, int]) -> list[str]:
    """A row for each experiment: the homework's question and the script's, page, scripts, figures, cost."""
    rows, counts = [], {}
    for about in numbers["histories"]:
        folder, name = about["experiment"].split("/")
        counts[folder] = counts.get(folder, 0) + 1
        section = Path(__file__).parent / numbers["sections"][name]["text"]
        title = TITLE.search(section.read_text("utf-8")) if section.is_file() else None
        number = f"{folder[2:].replace('_', '-')}.{counts[folder]}"
        asks = ast.get_docstring(ast.parse((ROOT / f"{about['experiment']}.py").read_text("utf-8"))) or ""
        draws = f"{folder}/plot_{name}.py"
        figures = [each for each, drawn in numbers["figures"].items() if drawn["script"] == draws]
        partial = f" so far ({about['words'].removeprefix('partial: ')})" * (about["state"] == "partial")
        rows.append(
            (
                f"**{number} {title[1] if title else name}** {' '.join(asks.partition(chr(10) * 2)[0].split())}",
                f"[page {pages[name]}](report/hw1.pdf#page={pages[name]})" if name in pages else "",
                f"[{name}.py]({about['experiment']}.py)",
                f"[plot_{name}.py]({draws})",
                ", ".join(f"[{each}](figures/{each}.png)" for each in figures),
                f"{about['wall']}{partial}, {about['memory']} GB" if "wall" in about else "not measured",
            )
        )
    return _table(("question", "report", "training script", "plot script", "figures", "time, peak memory"), rows)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    cells = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |" for row in cells]
