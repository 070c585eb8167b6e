"""Parameters against generalization: units, wrong labels, what is recorded, a tiny run from end to end."""

from dataclasses import replace

from common import backend, figures, history, seeds

import numpy as np
import pytest
import trial_runs

from hw1_3 import param_count, plot_param_count

backend.start()
from common import seedwise, training

# ------------------------------------------------------------------------------------------- nets and units


def test_the_ten_nets_have_the_parameters_of_the_reference():
    assert min(param_count.PARAMETERS.values()) == 13_546
    assert max(param_count.PARAMETERS.values()) == 51_192_010
    for width, count in param_count.PARAMETERS.items():
        assert 784 * width + width + 3 * (width * width + width) + 10 * width + 10 == count
    for width in (16, 512, 7):
        assert param_count.build_model(width).count_params() == param_count.parameter_count(width)


def trained(chosen: param_count.Settings) -> dict[tuple[bool, int], list[int]]:
    """The seeds of each arm and width, over all units."""
    found: dict[tuple[bool, int], list[int]] = {}
    for nets in param_count.units(chosen).values():
        found.setdefault((nets.noisy, nets.width), []).extend(nets.seeds)
    return found


def test_the_units_of_the_paper_scale():
    found = trained(param_count.PAPER)
    for width in param_count.PARAMETERS:
        assert found[False, width] == list(range(8 if width <= 256 else 3))
    assert {len(numbers) for (noisy, _), numbers in found.items() if noisy} == {8}
    names = list(param_count.units(param_count.PAPER))
    assert names[0] == "noisy/width-0002/seed-0-to-7"
    assert names[-4:] == ["width-3000/seed-2", *(f"width-4000/seed-{seed}" for seed in range(3))]
    assert {history.group_of(name) for name in names if "-0016/" in name} == {"width-0016", "noisy/width-0016"}


def test_more_seeds_extend_and_never_rename():
    before = param_count.units(param_count.PAPER)
    more = replace(param_count.PAPER, stacks=(0, 1), wide_seeds=(0, 1, 2, 3), widest_seeds=(0, 1, 2, 3))
    after = param_count.units(more)
    assert set(before) < set(after)
    assert trained(more)[False, 16] == list(range(16))
    assert trained(more)[False, 4000] == [0, 1, 2, 3]
    assert all(len(set(numbers)) == len(numbers) for numbers in trained(more).values())


# ------------------------------------------------------------------------------------------- wrong labels


def test_wrong_labels_are_wrong_and_as_many_as_said():
    labels = np.arange(4000, dtype=np.int32) % 10
    noisy, replaced = param_count.wrong_labels(labels, 0.2)
    assert replaced.sum() == 800
    assert noisy.dtype == labels.dtype
    np.testing.assert_array_equal(noisy != labels, replaced)
    assert (noisy.min(), noisy.max()) == (0, 9)
    shifts = np.bincount((noisy - labels)[replaced] % 10, minlength=10)
    assert shifts[0] == 0
    assert np.sum((shifts[1:] - 800 / 9) ** 2 / (800 / 9)) < 26.1  # chi squared, 8 degrees of freedom, p = 0.001
    np.testing.assert_array_equal(param_count.wrong_labels(labels, 0.2)[0], noisy)


# ---------------------------------------------------------------------------------------------- training


TINY = replace(param_count.PAPER, epochs=3, batch_size=32, probe_images=90, noisy_images=120, noisy_epochs=7)


def by_hand(seed: int, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Loss and accuracy of the initial net of width 12."""
    [model] = seedwise.build(lambda: param_count.build_model(12), [seed])
    return trial_runs.loss_and_accuracy(model.get_weights(), images, labels)


STILL = replace(TINY, epochs=1, noisy_epochs=2, noisy_every=2, batch_size=100, learning_rate=1e-30)  # weights stay
CLEAN, NOISY = param_count.Nets(12, range(2, 5)), param_count.Nets(12, range(2, 5), noisy=True)


@pytest.mark.parametrize("nets", [CLEAN, NOISY])
def test_what_is_recorded_is_what_a_net_that_stands_still_has(nets, digits, nowhere):
    found = param_count.train(STILL, digits, nets, nowhere)
    order = np.random.default_rng(0).permutation(240)
    probe = order[: 120 if nets.noisy else 90]
    images, labels = digits.train_images[probe], digits.train_labels[probe]
    seen = digits.train_images, digits.train_labels  # what the running values are of
    if nets.noisy:
        true = labels
        labels, replaced = param_count.wrong_labels(true, 0.2)
        seen = images, labels
    for place, seed in enumerate(nets.seeds):
        for name, (inputs, targets) in {
            "running": seen,  # batches of 100 and a smaller last one: the average is weighted by images
            "train": (images, labels),
            "test": (digits.test_images, digits.test_labels),
        }.items():
            loss, accuracy = by_hand(seed, inputs, targets)
            assert found[f"{name}_loss"][place] == pytest.approx(loss, rel=1e-5), name
            assert found[f"{name}_accuracy"][place] == pytest.approx(accuracy, abs=1e-6), name
        if nets.noisy:
            learnt = by_hand(seed, images[replaced], labels[replaced])[1]
            assert found["wrong_learnt"][place] == pytest.approx(learnt, abs=1e-6)
    assert ("wrong_learnt" in found) == nets.noisy
    assert (found["parameters"], found["seeds"]) == (param_count.parameter_count(12), [2, 3, 4])
    assert not found["dead"].any()


def test_records_are_at_the_epochs_that_are_named(digits, nowhere):
    found = param_count.train(TINY, digits, NOISY, nowhere)
    assert found["epochs"] == [1, 2, 3, 4, 5, 7]
    assert found["wrong_learnt"].shape == found["running_loss"].shape == (3, 6)
    assert param_count.train(TINY, digits, CLEAN, nowhere)["epochs"] == [1, 2, 3]


def test_a_batch_may_be_larger_than_the_set(digits, nowhere):
    found = param_count.train(replace(STILL, batch_size=1000), digits, CLEAN, nowhere)
    assert found["running_loss"][0] == pytest.approx(by_hand(2, digits.train_images, digits.train_labels)[:1], rel=1e-5)


def test_dead_nets_are_named(digits, nowhere, monkeypatch):
    def build(model, numbers):
        models = built(model, numbers)
        arrays = models[1].get_weights()
        models[1].set_weights([*arrays[:2], -np.abs(arrays[2]) - 1, arrays[3] - 1, *arrays[4:]])
        return models

    built = seedwise.build
    monkeypatch.setattr(seedwise, "build", build)
    assert param_count.train(TINY, digits, CLEAN, nowhere)["dead"].tolist() == [False, True, False]


@pytest.mark.parametrize("nets", [CLEAN, replace(NOISY, seeds=range(1)), param_count.Nets(300, range(1, 2))])
def test_resumed_training_equals_uninterrupted(nets, digits, tmp_path, nowhere):
    chosen = replace(TINY, noisy_every=2)
    whole = param_count.train(chosen, digits, nets, nowhere)
    again = tmp_path / "unit", 2
    resumed = trial_runs.resumed(lambda checkpoint: param_count.train(chosen, digits, nets, checkpoint), *again)
    trial_runs.assert_same_bits(resumed, whole)


def test_a_seed_is_the_same_net_in_any_company():
    alone, _, third = (
        seedwise.build(lambda: param_count.build_model(8), numbers)[-1].get_weights()
        for numbers in ([5], [0, 1], [3, 4, 5])
    )
    for one, other in zip(alone, third, strict=True):
        np.testing.assert_array_equal(one, other)
    assert seeds.stream(0, "batches") != seeds.stream(8, "batches")  # so that stacks see other batches


# -------------------------------------------------------------------------------------------- a tiny run


def test_a_tiny_run_records_everything(tiny_run):
    kept = tiny_run("hw1_3/param_count").history
    assert set(kept["results"]) == {
        "noisy/width-0004/seed-0-to-1",
        "noisy/width-0032/seed-0-to-1",
        "width-0016/seed-0-to-1",
        "width-0512/seed-0",
    }
    for unit, results in kept["results"].items():
        count = len(results["seeds"])
        assert count == (1 if "0512" in unit else 2)
        for name in training.CURVES:
            assert np.shape(results[name]) == (count, 4)  # of noisy nets epochs 1, 2, 4 and 6
        assert kept["units"][unit]["peak_memory_megabytes"] > 0
    assert kept["results"]["width-0512/seed-0"]["test_accuracy"][0][-1] > 0.5  # chance is 0.1


def test_an_arm_that_is_not_measured_is_said_to_be_so(tiny_run):
    figures.use_style()
    kept = tiny_run("hw1_3/param_count").history
    arms = ((plot_param_count.draw_sizes, True, "all images"), (plot_param_count.draw_noise, False, "wrong labels"))
    for draw, noisy, what in arms:
        results = {unit: about for unit, about in kept["results"].items() if unit.startswith("noisy") == noisy}
        figure = draw(kept | {"results": results})
        assert figure.axes[0].texts[0].get_text() == f"nets that learn {what}: not measured yet"
