"""What two or more questions share: settings, data, histories, the training loop, figures."""

import sys
from pathlib import Path

from common import signals

_script = Path(sys.argv[0]).resolve() if sys.argv[0] else Path()
_folder = _script.parent
if sys.argv[0] == "-m" or (_folder.parent == Path(__file__).resolve().parents[1] and _folder.name != "tests"):
    signals.prepare()  # a script of this project is starting, and its other imports take a second
