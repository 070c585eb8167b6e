"""What of requirements.txt a Python lacks. Standard library only, because it runs where nothing is installed.

python common/requirements.py    prints version, what is missing and what has another version, as JSON
"""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "requirements.txt"


def compared() -> tuple[list[str], dict[str, str]]:
    """The requirements that are missing here, and those of which another version is here, with that version."""
    missing, others = [], {}
    for line in filter(None, (line.partition("#")[0].strip() for line in FILE.read_text("utf-8").splitlines())):
        try:
            from packaging.requirements import Requirement  # TensorFlow requires it

            version = importlib.metadata.version(Requirement(line).name)
            if not Requirement(line).specifier.contains(version, prereleases=True):
                others[line] = version
        except ModuleNotFoundError:
            missing.append(line)
    return missing, others


def compared_by(python: str) -> tuple[list[int], list[str], dict[str, str]]:
    """The version of another Python, 0.0 where it does not run, and what `compared` says there."""
    try:
        done = subprocess.run([python, "-I", __file__], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return [0, 0], [], {}
    return json.loads(done.stdout)


def insist() -> None:
    """Exit where this Python lacks more than the tools of the tests; say what it has in another version."""
    missing, others = compared()
    missing = [line for line in missing if not re.match("pytest|ruff|ipykernel", line)]
    if missing:
        sys.exit(refusal(missing))
    for line, version in others.items():
        print(f"note: {line} is asked for, {version} is here: numbers or figures may differ", file=sys.stderr)


def refusal(lacking: list[str]) -> str:
    """One message for a Python that lacks packages. It proposes no `pip install`, which a system's Python refuses."""
    words = (
        f"error: {sys.executable} lacks {', '.join(lacking)}: bash run_all.sh makes {FILE.with_name('.venv')}, whose"
    )
    return f"{words} bin/python has all; or take a Python into which you have installed {FILE}"


if __name__ == "__main__":
    print(json.dumps([sys.version_info[:2], *compared()]))
