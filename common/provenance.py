"""Which code measured a history: a hash of the question's own code, and the git commit."""

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.settings import ROOT
from common.text import printable


def code_hash(script: Path) -> str:
    """SHA-256 over the syntax trees, docstrings dropped, of a script and the modules beside it that it imports.

    Comments and layout do not count, nor do PAPER and QUICK (a history holds its settings); Python 3.11 to 3.13 give
    the same value. `common` does not count: a change there that moves a number raises each script's REVISION.
    """
    digest = hashlib.sha256()
    waiting, trees = [script.resolve()], {}
    while waiting:
        path = waiting.pop()
        if path not in trees:
            trees[path] = ast.parse(path.read_text(encoding="utf-8"))
            waiting.extend(_imported(trees[path], script.resolve().parent))
    for path in sorted(trees, key=lambda path: path.name):
        digest.update(f"{path.name}\n{_structure(trees[path])}\n".encode())
    return digest.hexdigest()


def _imported(tree: ast.Module, folder: Path) -> Iterator[Path]:
    """Files of a question's folder that a module imports, as in `from hw1_2 import newton`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    files = (folder / f"{name.removeprefix(f'{folder.name}.')}.py" for name in names if name.startswith(folder.name))
    return (file for file in files if file.is_file())


def _structure(node: Any) -> str:
    """A syntax tree in words that are the same under Python 3.11 to 3.13, without docstrings and positions."""
    if isinstance(node, list):
        return "[" + ",".join(_structure(item) for item in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    skipped = {"type_comment", "type_params", "kind", "ctx"}
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and _has_docstring(node):
            value = value[1:]
        if isinstance(node, ast.Module) and name == "body":
            value = [statement for statement in value if not _sets_scale(statement)]
        if isinstance(node, ast.JoinedStr):  # Python 3.12 ends f"{x:{width}}" with an empty text
            value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
        if name not in skipped and value is not None and value != []:
            parts.append(f"{name}={_structure(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _has_docstring(node: Any) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def _sets_scale(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) in ("PAPER", "QUICK")


def commit() -> str:
    """The git commit of the code, with a + where Python files differ from it; empty without git.

    Where there is a repository that git cannot read, the reason is said on stderr.
    """
    # a git hook, for one, sets GIT_DIR to the repository that called it
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # git refuses a repository of another user, whose settings could run code; that user's code is running already
    environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, env=environment)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "*.py")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError) as error:
        if (ROOT / ".git").exists() and not isinstance(error, FileNotFoundError):
            reason = (getattr(error, "stderr", None) or str(error)).strip().partition("\n")[0]
            print(f"note: the history names no commit, as git says: {printable(reason)}", file=sys.stderr)
        return ""
