"""Lines and planes through weight space against closed forms and plain NumPy; a tiny run and its figures."""

import itertools
import math

from common import backend, history, landscape

import numpy as np
import pytest
import trial_runs
from trial_runs import loss_and_accuracy

backend.start()
from hw1_2 import error_surface, surfaces

PARTS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


# --------------------------------------------------------------------------------------- the numerical module


def small_net(seed, widths=(6, 5, 4, 3)):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) for shape in itertools.pairwise(widths)]


def inputs(count=40):
    generator = np.random.default_rng(9)
    return generator.random((count, 6), np.float32), generator.integers(0, 3, count).astype(np.int32)


def test_the_loss_on_a_line_is_that_of_the_mixed_weights():
    start, end = small_net(0), small_net(1)
    alpha = np.linspace(0, 1, 11)
    found = landscape.evaluator(*inputs())(start, end)(landscape.line(alpha))
    expected = [
        loss_and_accuracy([(1 - place) * one + place * two for one, two in zip(start, end, strict=True)], *inputs())
        for place in alpha
    ]
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_rows_of_a_plane_are_y_and_columns_are_x():
    end = small_net(2)
    across, along = small_net(3), small_net(4)
    x, y = np.linspace(-1, 1, 7), np.linspace(0, 3, 4)
    coefficients = landscape.plane(x, y)
    assert coefficients.shape == (28, 3)
    losses = landscape.evaluator(*inputs())(end, across, along)(coefficients)[:, 0].reshape(4, 7)
    for row, column in ((0, 0), (0, 6), (3, 0), (1, 5), (3, 6)):
        moved = [a + x[column] * b + y[row] * c for a, b, c in zip(end, across, along, strict=True)]
        assert losses[row, column] == pytest.approx(loss_and_accuracy(moved, *inputs())[0], rel=5e-6)


def test_points_do_not_depend_on_how_they_are_shared_out():
    at, coefficients = landscape.evaluator(*inputs())(small_net(0), small_net(1)), landscape.line(np.linspace(0, 1, 19))
    apart = [at(coefficients[first:last]) for first, last in ((0, 1), (1, 12), (12, 19))]
    np.testing.assert_array_equal(at(coefficients), np.concatenate(apart))


def test_a_falling_line_has_no_maximum():
    alpha = np.linspace(0, 1, 101)
    shape = surfaces.line_shape(alpha, 3 - 2 * alpha)
    assert (len(shape["maxima"]), shape["largest_prominence"]) == (0, 0.0)
    assert (shape["minimum"], shape["minimum_at"], shape["end_to_minimum"]) == (1.0, 1.0, 1.0)
    flat = surfaces.line_shape(alpha, np.ones(101))
    assert (len(flat["maxima"]), flat["largest_prominence"], flat["end_to_minimum"]) == (0, 0.0, 1.0)


@pytest.mark.parametrize(("height", "counts"), [(0.05, True), (0.0202, True), (0.0198, False)])
def test_a_bump_counts_from_one_percent_of_the_range(height, counts):
    alpha = np.linspace(0, 1, 5)
    shape = surfaces.line_shape(alpha, np.array([3.0, 1.5, 1.5 + height, 1.0, 1.25]))  # the range is 2
    assert shape["maxima"].tolist() == ([0.5] if counts else [])
    assert shape["largest_prominence"] == pytest.approx(height / 2, rel=1e-9)
    assert (shape["minimum_at"], shape["end_to_minimum"]) == (0.75, 1.25)


def test_waves_are_counted():
    alpha = np.linspace(0, 1, 2001)
    shape = surfaces.line_shape(alpha, 2 + np.cos(6 * np.pi * alpha))  # peaks inside at 1/3 and 2/3
    assert shape["maxima"].tolist() == pytest.approx([1 / 3, 2 / 3], abs=1e-3)
    assert shape["prominences"].tolist() == pytest.approx([1, 1], abs=1e-4)


def test_a_line_that_is_not_finite_has_no_shape():
    shape = surfaces.line_shape(np.linspace(0, 1, 4), np.array([1, np.inf, np.nan, 1]))
    assert math.isnan(shape["largest_prominence"]) and math.isnan(shape["end_to_minimum"]) and shape["maxima"] == []


def test_a_path_in_a_plane_is_drawn_as_it_is():
    angles = np.linspace(0, 1.5, 20)
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(200, 2)))[0].T
    path = 5 + np.stack([np.cos(angles), np.sin(angles)], axis=1) @ basis
    directions, coordinates, shares = surfaces.path_plane(path)
    assert directions @ directions.T == pytest.approx(np.eye(2), abs=1e-12)
    assert shares.sum() == pytest.approx(1) and shares[0] > shares[1]
    assert coordinates[-1] == pytest.approx([0, 0]) and (coordinates[0] > 0).all()
    between = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=2)
    assert between == pytest.approx(np.linalg.norm(path[:, None] - path[None], axis=2), abs=1e-9)


def test_a_path_that_stands_still_has_no_plane_and_does_not_fail():
    directions, coordinates, shares = surfaces.path_plane(np.ones((3, 10), np.float32))
    assert not directions.any() and not coordinates.any() and not shares.any()
    x, y = surfaces.axes_around(coordinates, 5, 3)
    assert (x[0], x[-1], len(x), y[0], y[-1], len(y)) == (-1, 1, 5, -1, 1, 3)


def test_the_grid_of_a_path_holds_it():
    coordinates = np.array([[3.0, 0.2], [1.0, -0.6], [0.0, 0.0]])
    x, y = surfaces.axes_around(coordinates, 9, 4)
    assert (len(x), len(y)) == (9, 4)
    assert (x[0], x[-1]) == pytest.approx((-0.75, 3.75)) and (y[0], y[-1]) == pytest.approx((-0.8, 0.4))


def test_the_share_of_a_displacement_within_a_plane():
    directions = np.array([[1.0, 0, 0, 0], [1.0, 1.0, 0, 0]])  # not orthogonal
    assert surfaces.share_within(np.array([1.0, 2.0, 2.0, 4.0]), directions) == pytest.approx(5 / 25)
    directions[1] = 0  # a straight path's second component
    assert surfaces.share_within(np.array([3.0, 0, 0, 4.0]), directions) == pytest.approx(9 / 25)


# ------------------------------------------------------------------------------------------------ the script


TINY = error_surface.Settings(
    steps=20,
    batch_size=16,
    record_every=8,
    probe_images=50,
    line_points=6,
    unrelated_points=3,
    plane_images=30,
    plane_columns=5,
    plane_rows=3,
)


@pytest.mark.parametrize("saves", [2, 5, 7])  # 4 records, 1 stage of each of the lines and planes
def test_resumed_equals_uninterrupted(digits, tmp_path, nowhere, saves):
    whole = history.plain(error_surface.train(TINY, digits, "adam/seed-1", nowhere))
    resumed = trial_runs.resumed(
        lambda checkpoint: error_surface.train(TINY, digits, "adam/seed-1", checkpoint), tmp_path / "state", saves
    )
    assert history.plain(resumed) == whole


def test_the_history_holds_lines_whose_ends_are_the_stored_losses(tiny_run):
    kept = tiny_run("hw1_2/error_surface").history
    assert kept["complete"] and list(kept["results"]) == ["sgd/seed-0", "adam/seed-0"]
    for results in kept["results"].values():
        line, other = results["line"], results["unrelated_line"]
        assert np.shape([line[part] for part in PARTS]) == (4, 12) and np.shape([other[p] for p in PARTS]) == (4, 5)
        assert (line["alpha"][0], line["alpha"][-1], other["alpha"][-1]) == (0, 1, 1)
        for part in PARTS:
            assert line[part][0] == pytest.approx(results["start"][part], rel=1e-5)
            assert line[part][-1] == pytest.approx(results["end"][part], rel=1e-5)
            assert other[part][-1] == pytest.approx(results["end"][part], rel=1e-5)
        assert other["train_loss"][0] != pytest.approx(line["train_loss"][0], rel=1e-3)
        assert results["end"]["train_loss"] < results["start"]["train_loss"]
        assert line["shape"]["train_loss"]["minimum"] == min(line["train_loss"])
        assert results["steps"] == [0, 25, 50, 60] and len(results["running_loss"]) == 3


def test_both_optimizers_start_at_the_same_weights(tiny_run):
    sgd, adam = tiny_run("hw1_2/error_surface").history["results"].values()
    assert sgd["start"] == adam["start"] and sgd["end"] != adam["end"]


def test_the_planes_are_not_square_and_hold_the_end(tiny_run):
    for results in tiny_run("hw1_2/error_surface").history["results"].values():
        for name in ("random_plane", "path_plane"):
            plane = results[name]
            assert np.shape(plane["loss"]) == np.shape(plane["accuracy"]) == (4, 7)
            assert (len(plane["x"]), len(plane["y"])) == (7, 4)
            assert np.isfinite(plane["loss"]).all()
        path, plane = np.array(results["path"]), results["path_plane"]
        assert path.shape == (4, 2) and path[-1] == pytest.approx([0, 0])
        assert plane["x"][0] < path[:, 0].min() and plane["x"][-1] > path[:, 0].max()
        assert plane["share_of_displacement"] > 0.9  # the start itself is a record
        assert results["random_plane"]["share_of_displacement"] < 1e-3
        lengths = np.linalg.norm(path[0]) ** 2 / results["moved"] ** 2
        assert lengths == pytest.approx(plane["share_of_displacement"], rel=1e-6)
