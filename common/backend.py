"""TensorFlow and Keras, imported late and without their messages, and the number of threads that a script uses."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import gpu, signals
from common.lazy import tf
from common.settings import Problem, prepare_environment

_started = False


def start(intra_threads: int = 0, inter_threads: int = 0) -> None:
    """Import TensorFlow with these thread counts (0: one for each core). Only the first call has an effect.

    Call it before anything else of Keras; else the first use of `keras` or `tf` (`common.lazy`) calls it. It sets
    float32, Keras's default epsilon and channels last, whatever the user's keras.json says, and switches off
    TensorFloat-32, which would round the factors of a GPU's products to 10 bits. A GPU's memory grows as needed.
    """
    global _started
    if _started:
        return
    _started = True
    prepare_environment()
    with _undisturbed():
        try:
            import keras
        except (ValueError, TypeError, AttributeError) as error:  # raised for a wrong KERAS_ variable or keras.json
            raise Problem(
                f"Keras does not start ({error}): unset the environment's KERAS_ variables, mend or remove keras.json"
            ) from None
        import tensorflow
    tensorflow.get_logger().setLevel("ERROR")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    tensorflow.config.experimental.enable_tensor_float_32_execution(False)
    with contextlib.suppress(RuntimeError):  # TensorFlow has computed something already, in a notebook
        tensorflow.config.threading.set_intra_op_parallelism_threads(intra_threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(inter_threads)
        for each in tensorflow.config.list_physical_devices("GPU"):
            tensorflow.config.experimental.set_memory_growth(each, True)
    if os.environ.get(gpu.SCALE, "quick") != "quick":
        _name_device()


def _name_device() -> None:
    """Print what a run at paper scale trains on; Problem where that is a CPU but the scale was chosen for a GPU."""
    device = environment()["device"]
    if tf.config.list_physical_devices("GPU") or os.environ[gpu.SCALE] != gpu.BY_GPU:
        print(f"paper scale: training on {device}", file=sys.stderr)
        return
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    why = "is its driver too old?" if hidden is None else f"CUDA_VISIBLE_DEVICES is {hidden!r}"
    raise Problem(
        f"{gpu.LISTED}, but TensorFlow finds none ({why}) and would train on {device}: mend that, or say --scale paper "
        "for hours on the CPU, or --scale quick"
    )


def start_in_halves() -> None:
    """`start` with the cores in two halves; each half computes half of every batch (`parts`).

    Faster than all cores on one layer at a time, where layers are small or many.
    """
    start(intra_threads=max(1, cores() // 2), inter_threads=2)


def parts() -> int:
    """Into how many parts a step should split its batch: as many as operations run at a time; on a GPU one."""
    if tf.config.list_physical_devices("GPU"):
        return 1
    return max(1, tf.config.threading.get_inter_op_parallelism_threads())


def jit_compiles(asked: bool) -> bool:
    """Whether XLA compiles a training loop: on a CPU where the script asks for it, on a GPU always."""
    return bool(asked or tf.config.list_physical_devices("GPU")) and has_xla()


@functools.cache
def has_xla() -> bool:
    """Whether TensorFlow can compile with XLA here; builds for macOS, and some plugins, cannot."""
    try:
        tf.function(lambda: tf.constant(1) + 1, jit_compile=True)()
    except tf.errors.OpError:
        return False
    return True


def environment() -> dict[str, str | int]:
    """Versions, device and threads, as a history records them."""
    described: dict[str, str | int] = {"python": platform.python_version(), "system": platform.system()}
    for name in ("numpy", "tensorflow", "keras"):
        described[name] = importlib.metadata.version(name)
    described["device"] = _processor()
    described["cores"] = cores()
    if "tensorflow" in sys.modules:
        tf = sys.modules["tensorflow"]
        for first in tf.config.list_physical_devices("GPU")[:1]:  # the one that TensorFlow uses
            described["device"] = tf.config.experimental.get_device_details(first).get("device_name", "GPU")
        described["intra_threads"] = tf.config.threading.get_intra_op_parallelism_threads() or cores()
        described["inter_threads"] = tf.config.threading.get_inter_op_parallelism_threads() or cores()
    return described


def cores() -> int:
    """How many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"CPU: {line.split(':', 1)[1].strip()}"
    return f"CPU: {platform.processor() or platform.machine()}"


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Within this block, Keras and TensorFlow are imported without their messages, which are shown if that fails.

    Keras imports scikit-learn and matplotlib where they are installed, for parts that no script here uses; that takes
    a third of its start, so within this block they cannot be imported, unless they are already. In a process of our own
    (a notebook may need Keras's home afterwards) Keras neither reads the user's keras.json nor writes one.
    """
    hidden = [name for name in ("sklearn", "matplotlib") if name not in sys.modules]
    sys.modules |= dict.fromkeys(hidden)
    keras_home = os.environ.get("KERAS_HOME")
    if signals.prepared:
        os.environ["KERAS_HOME"] = os.devnull
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.environ.pop("KERAS_HOME", None)
            if keras_home is not None:
                os.environ["KERAS_HOME"] = keras_home
            for name in hidden:
                del sys.modules[name]
