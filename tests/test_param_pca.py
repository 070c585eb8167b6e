"""Paths through weight space: nets against Keras, PCA and distances against closed forms, a run from end to end, C4."""

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trial_runs

ROOT = Path(__file__).resolve().parents[1]

from common import backend, figures, seeds, stacked

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


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(trained, tmp_path):
    resumed = trial_runs.resumed(lambda checkpoint: param_pca.train(TINY, checkpoint), tmp_path / "runs", saves=2)
    for name in ("runs", "control"):
        assert resumed[name]["records"].tobytes() == trained[name]["records"].tobytes()
        assert resumed[name]["end_loss"].tolist() == trained[name]["end_loss"].tolist()


# -------------------------------------------------------------------------------------------- measurements


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


# --------------------------------------------------------------------------------------------- a tiny run


def test_the_history_holds_paths_distances_and_surface(tiny_run):
    kept = tiny_run("hw1_2/param_pca").history
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


# ------------------------------------------------------------------------------------------------ dead runs


def words_of(results: dict[str, Any]) -> dict[str, list[str]]:
    """What is written in each figure of a history with these results."""
    from matplotlib.text import Text

    figures.use_style()
    about = {"units": ("whole", "layer-1"), "settings": {"epochs": 750, "layer": [1]}}
    kept, shown = trial_runs.made_up_history("hw1_2/param_pca", results, **about), {}
    for name, draw in plot_param_pca.FIGURES.items():
        figure = draw(kept)
        figure.draw_without_rendering()
        shown[name] = [text.get_text() for text in figure.findobj(Text)]
    return shown


def test_dead_runs_are_found_replaced_left_out_of_distances_and_marked(nowhere, monkeypatch):
    usual = param_pca.initial_weights

    def with_dead(count):
        nets = usual(count)
        nets[0, 5:10] = nets[1, 5:10] = -5.0  # the first layer's biases: off on the whole interval
        return nets

    monkeypatch.setattr(param_pca, "initial_weights", with_dead)
    found = param_pca.train(replace(TINY, spare_runs=2, epochs=2), nowhere)
    runs = found["runs"]
    assert runs["seeds"].tolist() == [0, 1, 2, 3, 4]  # three live ones
    assert runs["dead"].tolist() == runs["dead_at_birth"].tolist() == [True, True, False, False, False]
    assert (runs["dead_of_trained"], runs["trained"]) == (2, 5)
    assert found["control"]["seeds"].tolist() == [2, 2, 2]  # the first that is live
    results = {unit: param_pca.measure(replace(TINY, surface_steps=3), found, unit) for unit in ("whole", "layer-1")}
    assert len(results["whole"]["runs"]["matched_distances"]) == 3
    assert np.shape(results["whole"]["paths"]["runs"]["runs"]) == (5, 2, 2)
    shown = words_of(results)
    assert "dead" in shown["param_pca_paths"] and "control, from seed 2" in shown["param_pca_surface"]
    assert not any("not measured yet" in text for text in itertools.chain(*shown.values()))
    partial = words_of({"layer-1": results["layer-1"]})
    for name in ("param_pca_ends", "param_pca_distances", "param_pca_surface"):
        assert any("not measured yet" in text for text in partial[name])


def test_all_runs_dead_can_be_measured(nowhere, monkeypatch):
    monkeypatch.setattr(param_pca, "initial_weights", lambda count: np.full((count, param_pca.PARAMETERS), -0.1, "f4"))
    found = param_pca.train(replace(TINY, epochs=1), nowhere)
    results = param_pca.measure(replace(TINY, surface_steps=3), found, "whole")
    assert results["runs"]["matched_distances"] == results["control"]["cosines"] == []
    kept = trial_runs.made_up_history("hw1_2/param_pca", {"whole": results}, settings={"epochs": 1, "layer": [1]})
    assert reported.facts(kept)["claims"][0]["verdict"] == claims.UNCLEAR
    words_of({"whole": results})


def test_plot_and_facts_have_the_same_numbers():
    assert (plot_param_pca.NORMAL_95, plot_param_pca.STALLED) == (reported.NORMAL_95, reported.STALLED)
