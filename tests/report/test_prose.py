"""The prose of the sections: no result is typed into it, and it names every guard of the facts and no others."""

import re
from pathlib import Path

import pytest

REPORT = Path(__file__).resolve().parents[2] / "report"
SECTIONS = sorted([*(REPORT / "sections").glob("*.typ"), *REPORT.glob("page1.typ"), *REPORT.glob("discussion.typ")])
ALLOWED = [  # where a number is no result
    r"//[^\n]*",  # comments
    r'"[^"\n]*"',  # names, alternative text, the homework's words
    r"\$[^$]*\$",  # equations
    r"\bfixed\[[^\]]*\]",  # typed on purpose
    r"\b(num|pct|cell|share|interval)\([^()]*(\([^()]*\))?[^()]*\)",
    r"\d(\.\d+)?(pt|em|mm|fr)\b",
    r"<[\w-]+>|@[\w-]+",
]
RESULT = re.compile(r"\d\.\d|\d\s*~?\s*(%|per ?cent\b)")


def typed(text: str) -> list[str]:
    """Decimals and percentages in the prose of a section that no helper has written."""
    for pattern in ALLOWED:
        text = re.sub(pattern, "", text)
    return [text[max(0, found.start() - 30) : found.end() + 10] for found in RESULT.finditer(text)]


def test_the_lint_finds_results_and_nothing_else() -> None:
    assert len(typed("It falls to 0.25, by 12 % or 3~%, which is 5 percent.")) == 4
    assert typed('#num(f.numbers.x, places: 2) of #pct(f.share) at #fixed[99 %], "0.1", 160mm, $0.5 x$ // 0.1') == []


@pytest.mark.parametrize("path", SECTIONS, ids=lambda path: path.stem)
def test_no_result_is_typed_into_prose(path: Path) -> None:
    assert typed(path.read_text("utf-8")) == []
