"""README's recipe for a new experiment, followed to the letter in a copy: trained, drawn, listed, checked, reported."""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

NAME = "hw1_2/learning_rate"
FLAGS = ("--no-venv", "--scale", "quick")


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """A copy of the tree with the two scripts that README shows and one more word in run_all.sh."""
    copy = tmp_path_factory.mktemp("recipe") / "house"
    out = shutil.ignore_patterns(".git", ".venv*", "out", "__pycache__", ".*_cache", "*.pkl")
    shutil.copytree(ROOT, copy, ignore=out)
    recipe = (ROOT / "README.md").read_text().partition("## Adding an experiment")[2]
    scripts = re.findall(r"`(hw1_\d/\w+\.py)`,[^\n]*\n\n```python\n(.*?)```", recipe, re.DOTALL)
    assert [name for name, _ in scripts] == [f"{NAME}.py", "hw1_2/plot_learning_rate.py"]
    for name, content in scripts:
        (copy / name).write_text(content)
    driver = copy / "run_all.sh"
    driver.write_text(driver.read_text().replace("hw1_2/grad_norm\n", f"hw1_2/grad_norm\n{NAME}\n"))
    return copy


def call(house: Path, *command: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "HW1_DATA_DIR"}
    environment |= {"PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, cwd=house, env=environment, timeout=300)


def test_the_recipe_is_trained_drawn_listed_checked_and_reported(house):
    listed = call(house, "bash", "run_all.sh", *FLAGS, "--list")
    assert sum(f"{NAME}.py" in line for line in listed.stdout.splitlines()) == 3, listed.stderr  # learning rates
    done = call(house, "bash", "run_all.sh", *FLAGS, "--only", NAME)
    assert done.returncode == 0, done.stdout + done.stderr
    check = call(house, "bash", "run_all.sh", *FLAGS, "--only", NAME, "--check")
    assert check.returncode == 0, check.stdout
    path = house / "out" / "quick" / "hw1_2" / "history" / "learning_rate.pkl"
    for suffix in (".png", ".svg"):
        assert (house / "out" / "quick" / "figures" / f"learning_rate{suffix}").is_file()
    curves = call(house, sys.executable, "-m", "common.history", str(path), "--csv", "--by-epoch").stdout
    rows = list(csv.DictReader(io.StringIO(curves)))
    assert [(row["unit"], row["epoch"]) for row in rows[:3]] == [
        ("0.0001/seed-0", "1"), ("0.0001/seed-0", "2"), ("0.001/seed-0", "1"),
    ]  # fmt: skip
    report = call(house, sys.executable, "report/build.py", "--scale", "quick")
    assert report.returncode == 0, report.stderr
    assert "Does a larger learning rate learn faster" in call(house, sys.executable, f"{NAME}.py", "--help").stdout
