"""A killed training carries on where it was: what a checkpoint restores, and what it refuses."""

import tracemalloc

from common import checkpoint

import numpy as np
import pytest
from tiny_experiment import Variable

IDENTITY = {"experiment": "hw1_1/tiny", "unit": "walk/seed-0", "settings": {"learning_rate": 0.1}}
RESULTS = {"loss": [0.1 + 0.2, 1e-300, float("inf")], "epochs": 3}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "walk.state"


def variables() -> list[Variable]:
    generator = np.random.default_rng(7)
    return [
        Variable(generator.normal(size=(3, 4)).astype(np.float32)),
        Variable(np.array(5, np.int64)),
        Variable(np.array([2**64 - 1], np.uint64)),
    ]


def saved(path, variables, results=RESULTS) -> checkpoint.Checkpoint:
    """A checkpoint of one finished stage, on disk."""
    state = checkpoint.Checkpoint(path, IDENTITY)
    state.restore(variables, results)
    state.reached("", 1, now=True)
    return state


def blank() -> list[Variable]:
    return [Variable(np.zeros_like(each.value)) for each in variables()]


def test_what_was_saved_comes_back_bit_for_bit(path):
    saved(path, variables())
    restored = blank()
    assert checkpoint.Checkpoint(path, IDENTITY).restore(restored, {}) == RESULTS
    for each, original in zip(restored, variables(), strict=True):
        assert each.value.dtype == original.value.dtype
        assert each.value.tobytes() == original.value.tobytes()


def test_saving_takes_little_memory(path):
    large = [Variable(np.full((1000, 1000), float(place), np.float32)) for place in range(20)]  # 80 MB
    tracemalloc.start()
    saved(path, large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    restored = [Variable(np.zeros_like(each.value)) for each in large]
    assert checkpoint.Checkpoint(path, IDENTITY).restore(restored, {}) == RESULTS
    assert all((each.value == place).all() for place, each in enumerate(restored))


def test_saving_after_every_epoch_writes_only_now_and_then(path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    kept = checkpoint.Checkpoint(path, IDENTITY)
    kept.restore(variables(), RESULTS)
    kept.reached("", 1)
    assert not path.exists()
    clock[0] += checkpoint.SAVE_SECONDS
    kept.reached("", 2)
    assert path.exists()


def test_training_time_goes_on_counting(path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    first = checkpoint.Checkpoint(path, IDENTITY)
    clock[0] += 30
    first.restore(variables(), RESULTS)
    first.reached("", 1)
    clock[0] += 1000  # nothing ran
    second = checkpoint.Checkpoint(path, IDENTITY)
    second.restore(blank(), {})
    clock[0] += 5
    assert second.seconds() == 35


def test_another_run_starts_afresh(path):
    saved(path, variables())
    for other in (IDENTITY | {"unit": "walk/seed-1"}, IDENTITY | {"settings": {"learning_rate": 0.2}}, {}):
        restored = blank()
        assert checkpoint.Checkpoint(path, other).restore(restored, {}) == {}
        assert not any(each.value.any() for each in restored)


def test_other_variables_start_afresh(path):
    saved(path, variables())
    wider = [*blank()[:2], Variable(np.zeros(2, np.uint64))]
    assert checkpoint.Checkpoint(path, IDENTITY).restore(wider, {}) == {}
    assert checkpoint.Checkpoint(path, IDENTITY).restore([*blank(), *blank()], {}) == {}


def test_a_damaged_file_starts_afresh(path):
    kept = checkpoint.Checkpoint(path, IDENTITY)
    assert kept.restore(blank(), {}) == {}
    saved(path, variables())
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 41)]
    for position in range(0, len(whole), 37):
        damaged.append(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
    damaged += [b"", b"no archive", b"PK\x03\x04 broken"]
    for content in damaged:
        path.write_bytes(content)
        restored = blank()
        if kept.restore(restored, {}) == {}:
            assert not any(each.value.any() for each in restored)
        else:  # the damage was where nothing is read, such as a date
            assert kept.restore(blank(), {}) == RESULTS
            for each, original in zip(restored, variables(), strict=True):
                assert each.value.tobytes() == original.value.tobytes()
