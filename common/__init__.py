"""What two or more questions share: settings, data, histories, the training loop, figures."""

import importlib.util
import sys
from pathlib import Path

from common import signals

_root = Path(__file__).resolve().parents[1]
_folder = Path(sys.argv[0]).resolve().parent if sys.argv[0] else Path()
if sys.argv[0] == "-m" or (_folder.parent == _root and _folder.name != "common"):  # a script of ours is starting
    if _folder.name != "tests":
        signals.prepare()  # its other imports take a second
    _lacking = [name for name in ("numpy", "tyro") if importlib.util.find_spec(name) is None]
    if _lacking:
        from common import requirements

        sys.exit(requirements.refusal(_lacking))
