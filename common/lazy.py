"""`keras` and `tf`, which load when they are first used.

    from common.lazy import keras, tf

replaces `import keras` at the top of a file, because `--help`, `--check` and `--list` need neither package and should
not wait seconds for them. The first `keras.something` or `tf.something` calls `backend.start`; a script that needs
another number of threads calls that itself before. A file whose annotations name `tf` or `keras` begins with
`from __future__ import annotations`, or importing it would load them.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Lazy(ModuleType):
    """Replaces a package until one of its attributes is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # inspection of a module: no reason to load it
            raise AttributeError(name)
        from common import backend

        backend.start()
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:  # an editor completes their names
    import keras
    import tensorflow as tf
else:
    keras, tf = _Lazy("keras"), _Lazy("tensorflow")
