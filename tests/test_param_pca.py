"""Paths through weight space: nets against Keras, PCA and distances against closed forms, a run from end to end, C4."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trial_runs

ROOT = Path(__file__).resolve().parents[1]

from common import backend, figures, history, seeds, stacked

from hw1_2 import param_pca, plot_param_pca, weight_paths
from report import claims
from report.facts import param_pca as reported

backend.start()
import keras
import tensorflow as tf

TINY = replace(param_pca.PAPER, epochs=6, record_every=2, points=120, batch_size=32, runs=3, spare_runs=1)


@pytest.fixture(scope="module")
def trained(nowhere):
    return param_pca.train(TINY, nowhere)


def keras_net(weights: np.ndarray) -> keras.Model:
    model = param_pca.build_model()
    model.set_weights(stacked.split(weights, param_pca.WIDTHS))
    return model


def random_nets(count: int) -> np.ndarray:
    """Weights whose biases are not zero, so that each must be in its place."""
    noise = np.random.default_rng(5).normal(0, 0.1, (count, param_pca.PARAMETERS))
    return (param_pca.initial_weights(count) + noise).astype(np.float32)


# ------------------------------------------------------------------------------------------------ training


def test_the_net_has_the_reference_parameters():
    assert param_pca.build_model().count_params() == param_pca.PARAMETERS == 2136


def test_each_net_of_the_stack_predicts_what_keras_predicts_on_its_own_points():
    nets = random_nets(3)
    points = np.random.default_rng(0).uniform(-1, 1, (3, 40)).astype(np.float32)
    forward = stacked.copies_of(param_pca.build_model())
    own, shared = (forward(tf.constant(nets), tf.constant(each)).numpy() for each in (points, points[:1]))
    for index in range(3):
        model = keras_net(nets[index])
        for found, inputs in ((own[index], points[index]), (shared[index], points[0])):
            expected = model.predict(inputs[:, None], verbose=0)[:, 0]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_runs_share_a_batch_order_and_the_control_has_others():
    orders = param_pca.batch_orders(50, 4)
    assert orders.shape == (50, 8)
    assert (np.sort(orders, axis=0) == np.arange(50)[:, None]).all()  # an epoch visits every point once
    assert (orders[:, :4] == np.arange(50)[:, None]).all()
    for one, other in itertools.combinations(range(3, 8), 2):
        assert (orders[:, one] != orders[:, other]).sum() > 25


@pytest.mark.parametrize(("name", "index", "net"), [("runs", 2, 2), ("control", 1, 5)])
def test_runs_and_control_follow_the_adam_of_fit_on_their_own_batches(trained, name, index, net):
    model = keras_net(param_pca.initial_weights(3)[2 if name == "runs" else 0])
    model.compile(optimizer=keras.optimizers.Adam(TINY.learning_rate), loss="mse")
    points = np.linspace(-1, 1, TINY.points)[param_pca.batch_orders(TINY.points, 4)[:, net]]
    inputs, targets = points.astype(np.float32)[:, None], np.sin(np.exp(np.pi * points)).astype(np.float32)
    records = [model.get_weights()]
    for epoch in range(TINY.epochs):
        shuffle = [seeds.stream(0, "batches"), epoch]
        order = tf.random.experimental.stateless_shuffle(tf.range(TINY.points), seed=shuffle).numpy()
        model.fit(inputs[order], targets[order], batch_size=TINY.batch_size, shuffle=False, verbose=0)
        records.append(model.get_weights())
    assert trained["epochs"] == [0, 2, 4, 6]
    for record, epoch in enumerate(trained["epochs"]):
        expected = np.concatenate([array.ravel() for array in records[epoch]])
        np.testing.assert_allclose(trained[name]["records"][record, index], expected, rtol=1e-3, atol=2e-5)
    loss = model.evaluate(inputs, targets, batch_size=TINY.points, verbose=0)
    assert trained[name]["end_loss"][index] == pytest.approx(loss, rel=1e-4)
    assert trained[name]["end_loss"][index] < trained[name]["start_loss"][index]


def test_the_control_starts_from_one_net_and_ends_in_many(trained):
    records = trained["control"]["records"]
    assert records.shape == (4, 3, param_pca.PARAMETERS)
    assert (records[0] == trained["runs"]["records"][0, 0]).all()
    assert trained["control"]["seeds"].tolist() == [0, 0, 0]
    assert min(weight_paths.between_ends(records, param_pca.WIDTHS)["distances"]) > 0


@pytest.mark.parametrize(
    ("dead", "wanted", "expected"),
    [
        ([0, 0, 0, 0], 2, [0, 1]),
        ([0, 1, 0, 0], 2, [0, 1, 2]),
        ([1, 1, 0, 1], 1, [0, 1, 2]),
        ([1, 0, 1, 1], 2, [0, 1, 2, 3]),
        ([1, 1], 1, [0, 1]),
    ],
)
def test_runs_are_shown_up_to_the_last_live_one_that_is_needed(dead, wanted, expected):
    assert param_pca.first_live(np.array(dead, bool), wanted).tolist() == expected


def test_dead_runs_are_found_replaced_and_left_out_of_distances(nowhere, monkeypatch):
    usual = param_pca.initial_weights

    def with_dead(count):
        nets = usual(count)
        nets[0, 5:10] = nets[1, 5:10] = -5.0  # the first layer's biases: off on the whole interval
        return nets

    monkeypatch.setattr(param_pca, "initial_weights", with_dead)
    found = param_pca.train(replace(TINY, spare_runs=2, epochs=2), nowhere)
    assert found["runs"]["seeds"].tolist() == [0, 1, 2, 3, 4]  # three live ones
    assert (
        found["runs"]["dead"].tolist() == found["runs"]["dead_at_birth"].tolist() == [True, True, False, False, False]
    )
    assert (found["runs"]["dead_of_trained"], found["runs"]["trained"]) == (2, 5)
    assert found["control"]["seeds"].tolist() == [2, 2, 2]  # the first that is live
    results = param_pca.measure(replace(TINY, surface_steps=3), found, "whole")
    assert len(results["runs"]["matched_distances"]) == 3
    assert np.shape(results["paths"]["runs"]["runs"]) == (5, 2, 2)


def test_all_runs_dead_can_be_measured(nowhere, monkeypatch):
    monkeypatch.setattr(param_pca, "initial_weights", lambda count: np.full((count, param_pca.PARAMETERS), -0.1, "f4"))
    found = param_pca.train(replace(TINY, epochs=1), nowhere)
    results = param_pca.measure(replace(TINY, surface_steps=3), found, "whole")
    assert results["runs"]["matched_distances"] == results["control"]["cosines"] == []
    kept = wrapped({"whole": history.plain(results)})
    assert reported.facts(kept)["claims"][0]["verdict"] == claims.UNCLEAR
    figures.use_style()
    for draw in plot_param_pca.FIGURES.values():
        draw(kept).draw_without_rendering()


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(trained, tmp_path):
    resumed = trial_runs.resumed(lambda checkpoint: param_pca.train(TINY, checkpoint), tmp_path / "runs", saves=2)
    for name in ("runs", "control"):
        assert resumed[name]["records"].tobytes() == trained[name]["records"].tobytes()
        assert resumed[name]["end_loss"].tolist() == trained[name]["end_loss"].tolist()


# -------------------------------------------------------------------------------------------- measurements


def test_a_straight_trajectory_has_all_its_variance_on_the_first_component():
    random = np.random.default_rng(1)
    origin, direction = random.normal(size=30), random.normal(size=30)
    way = np.linspace(0, 1, 25) ** 2
    records = (origin + way[:, None] * direction)[:, None, :]
    plane = weight_paths.principal_plane(records)
    assert plane.explained_variance_ratio_[0] == pytest.approx(1, abs=1e-12)
    found = weight_paths.coordinates(plane, records)
    assert found.shape == (1, 2, 25)
    length = np.linalg.norm(direction)  # not whitened: lengths along the line are kept
    np.testing.assert_allclose(np.abs(found[0, 0] - found[0, 0, 0]), way * length, atol=1e-9)
    np.testing.assert_allclose(found[0, 1], 0, atol=1e-9)


def test_principal_components_are_those_of_a_singular_value_decomposition():
    records = np.random.default_rng(2).normal(size=(12, 3, 7)) * np.arange(1, 8)
    plane = weight_paths.principal_plane(records)
    flat = np.concatenate([records[:, net] for net in range(3)])  # in another order than the code's
    centred = flat - flat.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(plane.explained_variance_ratio_, values**2 / np.sum(values**2), rtol=1e-8)
    found = np.concatenate(weight_paths.coordinates(plane, records), axis=1)
    for component in range(2):
        expected = left[:, component] * values[component]
        sign = np.sign(expected @ found[component])
        np.testing.assert_allclose(found[component], sign * expected, atol=1e-8)


def test_matching_undoes_a_renumbering_of_hidden_units():
    net = random_nets(1)[0]
    random, arrays = np.random.default_rng(4), stacked.split(net, param_pca.WIDTHS)
    for layer in range(len(param_pca.WIDTHS) - 1):
        order = random.permutation(param_pca.WIDTHS[layer])
        arrays[2 * layer], arrays[2 * layer + 1] = arrays[2 * layer][:, order], arrays[2 * layer + 1][order]
        arrays[2 * layer + 2] = arrays[2 * layer + 2][order]
    renumbered = np.concatenate([array.ravel() for array in arrays])
    points = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    np.testing.assert_allclose(keras_net(renumbered)(points), keras_net(net)(points), atol=1e-5)
    assert np.linalg.norm(renumbered - net) > 5
    assert weight_paths.matched_distance(net, renumbered, param_pca.WIDTHS) == 0


def test_matching_never_makes_a_distance_longer():
    one, other = random_nets(2)
    found = weight_paths.matched_distance(one, other, param_pca.WIDTHS)
    assert found == weight_paths.matched_distance(other, one, param_pca.WIDTHS)
    assert 0 < found <= np.linalg.norm(one.astype(float) - other)


def test_distances_and_cosines_of_nets_moved_by_known_steps():
    starts = param_pca.initial_weights(3).astype(float)
    starts[2] = starts[0]
    steps = np.zeros_like(starts)
    steps[0, 0], steps[1, 1], steps[2, 0] = 3.0, 4.0, -2.0
    found = weight_paths.between_ends(np.stack([starts, starts + steps]), param_pca.WIDTHS)
    assert found["lengths"] == pytest.approx([3, 4, 2])
    assert found["cosines"] == pytest.approx([0, -1, 0], abs=1e-12)  # pairs 0-1, 0-2, 1-2
    assert found["distances"][1] == pytest.approx(5)
    assert found["start_distances"][1] == 0


@pytest.mark.parametrize("number", [1, 4, 10])
def test_a_layers_slice_is_its_kernel_and_bias(number):
    net = random_nets(1)[0]
    layer = [each for each in keras_net(net).layers if each.get_weights()][number - 1]
    expected = np.concatenate([array.ravel() for array in layer.get_weights()])
    assert net[weight_paths.layer_slice(number, param_pca.WIDTHS)].tolist() == expected.tolist()


def test_the_loss_on_a_square_around_paths():
    origin, first, second = random_nets(3).astype(float)
    points = np.linspace(-1, 1, 15)
    outputs = param_pca.compiled(stacked.copies_of(param_pca.build_model()), points)
    plane = SimpleNamespace(mean_=origin, components_=np.stack([first, second]))
    paths = np.array([[[-0.2, 0.4], [-0.3, 0.1]]])  # nets, 2, records
    ground = weight_paths.surface(plane, paths, 3, lambda nets: param_pca.mean_loss(outputs(nets), points))
    across, along, found = ground["across"], ground["along"], ground["loss"]
    np.testing.assert_allclose([across, along], [[-0.26, 0.1, 0.46], [-0.46, -0.1, 0.26]], atol=1e-12)
    for row, column in itertools.product(range(3), range(3)):
        model = keras_net(origin + across[column] * first + along[row] * second)
        errors = model.predict(points[:, None], verbose=0)[:, 0] - np.sin(np.exp(np.pi * points))
        assert found[row, column] == pytest.approx(np.mean(errors**2), rel=1e-3)


def test_the_surface_lies_under_all_paths(trained):
    results = param_pca.measure(replace(TINY, surface_steps=7), trained, "whole")
    paths, ground = results["paths"]["runs"]["runs"], results["surface"]
    assert ground["loss"].shape == (7, 7)
    assert np.isfinite(ground["loss"]).all()
    for component, axis in enumerate(("across", "along")):
        assert ground[axis][0] < paths[:, component].min() <= paths[:, component].max() < ground[axis][-1]
    assert sum(results["explained"]["runs"]) <= 1 + 1e-9


def test_predictions_of_the_ends_are_those_of_keras(trained):
    results = param_pca.measure(replace(TINY, surface_steps=2), trained, "whole")
    points = np.linspace(-1, 1, 1001)
    for name, net in itertools.product(("runs", "control"), range(3)):
        expected = keras_net(trained[name]["records"][-1, net]).predict(points[:, None], verbose=0)[:, 0]
        np.testing.assert_allclose(results[name]["predictions"][net], expected, rtol=1e-4, atol=1e-5)


# --------------------------------------------------------------------------------------------- end to end

FLAGS = ["--scale", "quick", "--epochs", "6", "--record-every", "2", "--points", "200", "--batch-size", "64"]
FLAGS += ["--runs", "3", "--spare-runs", "1", "--surface-steps", "5"]


@pytest.fixture(scope="module")
def finished(checkout):
    """(folder of a copy of the code, what a tiny run printed, the history's path)."""
    done = call(checkout, "param_pca")
    assert done.returncode == 0, done.stderr
    return checkout, done, Path(done.stdout.strip().splitlines()[-1].removeprefix("history: "))


def call(copy, name, *flags):
    environment = {name: value for name, value in os.environ.items() if name != "HW1_DATA_DIR"}
    command = [sys.executable, str(copy / "hw1_2" / f"{name}.py"), *(FLAGS if name == "param_pca" else []), *flags]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=200)


def test_the_history_holds_paths_distances_and_surface(finished):
    copy, done, path = finished
    assert path.is_relative_to(copy / "out" / "changed")
    assert "Traceback" not in done.stderr
    kept = history.read(path)
    assert kept["complete"]
    assert list(kept["results"]) == ["whole", "layer-1"]
    for unit, parameters in (("whole", 2136), ("layer-1", 10)):
        results = kept["results"][unit]
        assert results["parameters"] == parameters
        assert results["epochs"] == [0, 2, 4, 6]
        for plane, name in (("runs", "runs"), ("all", "runs"), ("all", "control")):
            paths = np.array(results["paths"][plane][name])
            assert paths.shape == (3, 2, 4)
            assert np.isfinite(paths).all()
        starts = np.array(results["paths"]["all"]["control"])[:, :, 0]
        assert np.ptp(starts, axis=0).max() < 1e-6  # one start
        assert (np.array(results["runs"]["end_loss"]) < results["runs"]["start_loss"]).all()
    whole = kept["results"]["whole"]
    assert np.shape(whole["surface"]["loss"]) == (5, 5)
    for name in ("runs", "control"):
        for quantity in ("distances", "matched_distances", "cosines"):
            assert len(whole[name][quantity]) == 3
        assert (np.array(whole[name]["matched_distances"]) <= whole[name]["distances"]).all()


def test_another_layer_extends_the_history_and_the_same_seed_gives_the_same_paths(finished):
    copy, _, path = finished
    before = history.read(path)["results"]
    listed = call(copy, "param_pca", "--layer", "3", "--list")
    assert len(listed.stdout.splitlines()) == 1
    done = call(copy, "param_pca", "--layer", "3")
    assert done.returncode == 0, done.stderr
    after = history.read(path)
    assert after["settings"]["layer"] == [1, 3]
    assert {unit: after["results"][unit] for unit in before} == before
    assert after["results"]["layer-3"]["parameters"] == 165
    assert after["results"]["layer-3"]["runs"] == before["layer-1"]["runs"]  # trained again, to the same bits
    assert call(copy, "param_pca", "--check").stdout.startswith("up to date")
    assert call(copy, "param_pca", "--layer", "11").returncode == 2


def test_figures_of_the_run_are_not_blank_and_are_drawn_once(finished):
    copy, _, path = finished
    drawn = call(copy, "plot_param_pca", "--history", str(path))
    assert drawn.returncode == 0, drawn.stderr
    from matplotlib import image

    for name in plot_param_pca.FIGURES:
        picture = path.parents[2] / "figures" / f"{name}.png"
        assert image.imread(picture)[..., :3].std() > 0.02
        assert str(picture) in drawn.stdout
    again = call(copy, "plot_param_pca", "--history", str(path))
    assert "up to date" in again.stderr and not again.stdout


def test_check_loads_no_tensorflow(finished):
    copy, _, _ = finished
    program = f"import runpy, sys; sys.argv = ['x', '--check', '--scale', 'quick']; sys.path.insert(0, {str(copy)!r})"
    program += f"\ntry: runpy.run_path({str(copy / 'hw1_2' / 'param_pca.py')!r}, run_name='__main__')"
    program += "\nexcept SystemExit: pass"
    program += "\nprint(sorted({'tensorflow', 'keras', 'pandas', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# ----------------------------------------------------------------------------------------------- figures


def wrapped(results: dict[str, Any], scale: str = "paper") -> dict[str, Any]:
    """A history around these results of the units whole and layer-1."""
    about = {"units": ("whole", "layer-1"), "scale": scale, "settings": {"epochs": 750, "layer": [1]}}
    return trial_runs.made_up_history("hw1_2/param_pca", results, **about)


def made_up(dead: int = 0, predictions: bool = True) -> dict[str, Any]:
    """A history of eight live runs, of which the last stalls, and as many of the control; `dead` runs come first."""
    random, live, pairs = np.random.default_rng(0), 8, 28
    grid, curve = np.linspace(-9, 9, 6), np.sin(np.exp(np.pi * np.linspace(-1, 1, 31)))
    units: dict[str, Any] = {}
    for unit, parameters in (("whole", 2136), ("layer-1", 10)):
        paths = random.normal(size=(live + dead, 2, 40)).cumsum(axis=2)
        units[unit] = {
            "parameters": parameters,
            "explained": {"runs": [0.14] * 7 + [0.001] * 3, "all": [0.4, 0.1]},
            "paths": {"runs": {"runs": paths}, "all": {"runs": paths, "control": paths[dead:] + 3}},
            "surface": {"across": grid, "along": grid, "loss": 0.2 + np.add.outer(grid**2, grid**2)},
            "summary": {"variance of 2 components": 0.28},
        }
        for name, gone in (("runs", dead), ("control", 0)):
            units[unit][name] = {
                "seeds": list(range(live + dead)) if name == "runs" else [0] * live,
                "dead": np.arange(live + gone) < gone,
                "end_loss": [0.289] * gone + [0.001] * 7 + [0.1 if name == "runs" else 0.001],
                "distances": np.full(pairs, 15.0),
                "matched_distances": np.full(pairs, 14.0),
                "cosines": np.linspace(-0.04, 0.04, pairs) + 0.3 * (name == "control"),
                "lengths": np.full(live, 100.0),
            }
            if predictions:
                units[unit][name]["predictions"] = curve + random.normal(0, 0.02, (live + gone, 1))
    return wrapped(history.plain(units))


def words(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def drawn(kept: dict[str, Any]) -> dict[str, Any]:
    figures.use_style()
    return {name: draw(kept) for name, draw in plot_param_pca.FIGURES.items()}


def test_what_is_not_measured_is_said_or_left_out():
    kept = made_up()
    del kept["results"]["whole"]
    for name, figure in drawn(kept).items():
        assert any("not measured yet" in text for text in words(figure)) == (name != "param_pca_paths")
    for predictions in (False, True):
        titles = words(drawn(made_up(predictions=predictions))["param_pca_ends"])
        assert any("functions at the ends" in text for text in titles) == predictions


def test_values_that_are_not_finite_are_left_out():
    kept = made_up()
    kept["results"]["whole"]["runs"]["matched_distances"][0] = float("nan")
    kept["results"]["whole"]["surface"]["loss"][0][0] = float("inf")
    for figure in drawn(kept).values():
        figure.draw_without_rendering()


def test_dead_and_stalled_runs_are_marked():
    shown = {name: words(figure) for name, figure in drawn(made_up(dead=1)).items()}
    assert {"dead", "run that stalls"} <= set(shown["param_pca_paths"])
    assert "control, from seed 0" in shown["param_pca_surface"]
    assert "seed 8 stalls" in shown["param_pca_ends"]
    assert any("14 % of variance" in text for text in shown["param_pca_paths"])


def test_words_do_not_overlap_and_the_same_history_gives_the_same_bytes():
    kept = made_up(dead=2)
    second = drawn(kept)
    for name, figure in drawn(kept).items():
        content = figures.encode(figure, ".svg", "history x")
        assert content == figures.encode(second[name], ".svg", "history x")
        assert len(content) < 1_000_000
        figure.draw_without_rendering()
        for axes in figure.axes:
            labels = [label for label in axes.get_xticklabels() if label.get_text()]
            boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
            assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
        for legend in figure.legends:
            assert all(legend.get_window_extent().y1 <= axes.get_tightbbox().y0 + 1 for axes in figure.axes)


def test_plot_and_facts_have_the_same_numbers():
    assert (plot_param_pca.NORMAL_95, plot_param_pca.STALLED) == (reported.NORMAL_95, reported.STALLED)
