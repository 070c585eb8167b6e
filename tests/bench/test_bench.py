"""The benchmark's arithmetic by hand, its count of the protocol, and one row at a tiny size."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

from common import settings

import bench
import bench_protocol
import numpy as np
import pytest
from contenders.work import Work, operations

from report import build

LAYERS = [  # a convolution of 5 x 5 places, 3 x 3, 2 channels to 4 filters; then 100 to 10
    {"kind": "Conv2D", "multiply_adds": 5 * 5 * 3 * 3 * 2 * 4},
    {"kind": "Flatten", "multiply_adds": 0},
    {"kind": "Dense", "multiply_adds": 100 * 10},
]
TRAINING = Work("classify", "", batch_size=8, examples=50)


def test_operations_are_those_of_the_products():
    forward, weights, inputs = 1800 + 1000, 1800 + 1000, 1000  # the first layer needs no gradient of its input
    assert operations(TRAINING, LAYERS) == 2 * 8 * (forward + weights + inputs)
    assert operations(replace(TRAINING, kind="evaluate"), LAYERS) == 2 * 50 * forward
    assert operations(replace(TRAINING, kind="norms"), LAYERS) == 2 * 50 * (forward + weights + inputs)
    assert operations(replace(TRAINING, kind="jacobian"), LAYERS) is None


def test_numbers_of_a_contender():
    ours = np.array([0.001, 0.002, 0.004])  # seconds, of one net
    found = bench.numbers(TRAINING, LAYERS, 2, np.array([0.004, 0.008, 0.008]), ours, 1e9)
    assert found["milliseconds"] == pytest.approx({"median": 4, "lower_quartile": 3, "upper_quartile": 4})
    assert found["ratio"] == pytest.approx({"median": 2, "lower_quartile": 1.5, "upper_quartile": 2})  # round by round
    assert found["gigaflops"] == pytest.approx(operations(TRAINING, LAYERS) / 0.004 / 1e9)
    assert found["share_of_peak"] == pytest.approx(found["gigaflops"])
    without = bench.numbers(replace(TRAINING, kind="jacobian"), LAYERS, 1, ours, ours, 1e9)
    assert without["gigaflops"] is without["share_of_peak"] is None


def test_tables_show_what_was_measured_and_what_failed():
    took = np.array([0.25])
    found = bench.numbers(TRAINING, LAYERS, 1, took, took / 2, 1e9) | {"note": "defaults", "peak_memory": 5e8}
    work = {"kind": "classify", "batch_size": 8, "examples": 50}
    row = {"work": work, "peak": 1e9, "contenders": {"ours": found, "fit": found, "jax": {"failed": "why\nso"}}}
    shown = bench.row_table("a row", row).splitlines()
    assert "a row (classify, batch 8)" in shown[0]
    assert re.search(r"fit +1 +250 \[250, 250\] +0\.0 +0% +2 \[2, 2\] +500 +defaults", shown[2])
    assert shown[3].startswith("jax") and shown[3].endswith("so")
    assert bench.summary({"a row": row}).splitlines()[2].startswith("| a row | 250 | 2.00 |  |")


def test_contenders_of_a_row(monkeypatch):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: name == "jax")
    rows = bench.rows()
    assert bench.contenders_of(rows["tiny-deep-100"])[0] == ("ours", "ours", 100)
    assert ("jax", "jax", 100) in bench.contenders_of(rows["tiny-deep-100"])
    small = bench.contenders_of(rows["dnn-2x64-1"])
    assert {("ours, one net", "ours", 1), ("fit", "fit", 1), ("jax vmap", "jax", 3)} < set(small)
    assert not any(name.startswith("torch") for name, _, _ in small)


def test_the_protocol_counts_the_experiments_of_the_driver():
    counted = bench_protocol.experiments()
    listed = build.experiments()
    published = [name for name in listed if settings.history_path(bench.ROOT, name).is_file()]
    assert list(counted) == published  # one of a user's own needs no count
    assert all(steps > 0 for parts in counted.values() for _, steps in parts)
    digits = {(work.kind, *work.net): steps for work, steps in counted["hw1_1/mnist_cnn"]}
    assert digits["classify", "deep", 0.25] == 8 * 20 * 469  # seeds, epochs, batches of 128
    assert digits["evaluate", "deep", 0.25] == 8 * 20 * 2
    functions = {(work.kind, *work.net): steps for work, steps in counted["hw1_1/function_fit"]}
    assert functions["regress", "deep", "tanh"] == 2 * 30_000 * 16


def test_hours_of_the_protocol():
    other = replace(TRAINING, kind="evaluate")
    parts = [(TRAINING, 7200), (other, 3600)]
    assert bench_protocol.hours(parts, {TRAINING: 0.5, other: 2.0}) == pytest.approx(3)
    assert np.isnan(bench_protocol.hours(parts, {TRAINING: 0.5}))
    found = {"hw1_1/function_fit": {"ours": 1.0, "fit": 100.0}, "hw1_1/mnist_cnn": {"ours": 2.0, "fit": 3.0}}
    lines = bench.protocol_table(found).splitlines()
    assert lines[-2].split()[-3:] == ["3.000", "103.000", "34.33"]
    assert lines[-1].split()[-3:] == ["2.000", "3.000", "1.50"]


def test_one_row_at_a_tiny_size():
    work = replace(bench.rows()["tiny-shallow-10"], examples=40, batch_size=16, nets=2)
    with bench.started() as start:
        layers = bench.layers_of(start, [(work.script, work.net)])[0]
    assert sum(layer["parameters"] for layer in layers) == 91
    row = bench.measured_row(work, layers, [("ours", "ours", 2)], {}, 2, 0.01)
    ours = row["contenders"]["ours"]
    assert len(ours["rounds_milliseconds"]) == 2 and min(ours["rounds_milliseconds"]) > 0
    assert ours["ratio"]["median"] == pytest.approx(1) and ours["peak_memory"] > 1e7
    assert json.loads(json.dumps(row))["contenders"]["ours"]["note"] == "1 intra-op, 1 inter-op"


def test_a_contender_is_stopped_while_it_is_not_asked_and_says_why_it_ended():
    with bench.started() as start:
        idle = start("numpy matmul")
        bench.ask(idle, work=vars(Work("matmul", "", examples=8)))
        state = Path(f"/proc/{idle.process.pid}/stat")
        if state.exists():
            ends = time.monotonic() + 10
            while (letter := state.read_text().rpartition(")")[2].split()[0]) != "T":
                assert time.monotonic() < ends, letter
        assert bench.ask(idle, steps=3)["seconds"] > 0
        with pytest.raises(settings.Problem, match="KeyError"):
            bench.ask(idle, nothing=0)
    assert idle.process.poll() is not None
