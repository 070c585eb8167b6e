"""`keras` and `tf`, which load when they are first used.

    from common.lazy import keras, tf

stands at the top of a file as `import keras` would, but `--help`, `--check` and `--list` need neither package and must
not wait seconds for them. The first `keras.something` or `tf.something` calls `backend.start`, so a script that wants
its own number of threads calls that first. Annotations that name `tf` or `keras` would load them when the file is
imported: such a file begins with `from __future__ import annotations`.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Lazy(ModuleType):
    """Stands for a package until one of its attributes is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by whatever inspects a module: no reason to load it
            raise AttributeError(name)
        from common import backend

        backend.start()
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:  # an editor completes their names
    import keras
    import tensorflow as tf
else:
    keras, tf = _Lazy("keras"), _Lazy("tensorflow")
