"""Parameters against generalization: units, wrong labels, what is recorded, a tiny run from end to end, claim C9."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from common import backend, history, seeds
from common.checkpoint import Checkpoint
from common.history_file import LARGEST_WRITTEN, encode

import numpy as np
import pytest
import trial_runs

from hw1_3 import param_count, ten_nets
from report import claims
from report import param_count as reported

ROOT = Path(__file__).resolve().parents[1]

backend.start()
from common import seedwise

# ------------------------------------------------------------------------------------------- nets and units


def test_the_ten_nets_have_the_parameters_of_the_reference():
    assert min(param_count.PARAMETERS.values()) == 13_546
    assert max(param_count.PARAMETERS.values()) == 51_192_010
    for width, count in param_count.PARAMETERS.items():
        assert 784 * width + width + 3 * (width * width + width) + 10 * width + 10 == count
    for width in (16, 512, 7):
        assert param_count.build_model(width).count_params() == param_count.parameter_count(width)


def test_a_wrong_count_raises(monkeypatch):
    monkeypatch.setitem(param_count.PARAMETERS, 16, 13_545)
    with pytest.raises(ValueError, match="the net has 13546 parameters, not 13545"):
        param_count.build_model(16)


def test_the_net_has_four_equal_hidden_layers():
    shapes = [array.shape for array in param_count.build_model(12).get_weights()]
    assert shapes == [(784, 12), (12,), *[(12, 12), (12,)] * 3, (12, 10), (10,)]


def trained(chosen: param_count.Settings) -> dict[tuple[bool, int], list[int]]:
    """The seeds of each arm and width, over all units."""
    found: dict[tuple[bool, int], list[int]] = {}
    for nets in param_count.units(chosen).values():
        found.setdefault((nets.noisy, nets.width), []).extend(nets.seeds)
    return found


def test_the_units_of_the_paper_scale():
    found = trained(param_count.PAPER)
    for width in param_count.PARAMETERS:
        assert found[False, width] == list(range(8 if width <= 256 else 3 if width <= 1024 else 1))
    assert {len(numbers) for (noisy, _), numbers in found.items() if noisy} == {8}
    names = list(param_count.units(param_count.PAPER))
    assert names[0] == "noisy/width-0002/seed-0-to-7"
    assert [name for name in names if not name.startswith("noisy")][-4:] == [
        "width-1024/seed-2",
        "width-2000/seed-0",
        "width-3000/seed-0",
        "width-4000/seed-0",
    ]
    assert {history.group_of(name) for name in names if "-0016/" in name} == {"width-0016", "noisy/width-0016"}


def test_more_seeds_extend_and_never_rename():
    before = param_count.units(param_count.PAPER)
    more = replace(param_count.PAPER, stacks=(0, 1), wide_seeds=(0, 1, 2, 3), widest_seeds=(0, 1))
    after = param_count.units(more)
    assert set(before) < set(after)
    assert trained(more)[False, 16] == list(range(16))
    assert trained(more)[False, 4000] == [0, 1]
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


@pytest.fixture(scope="module")
def digits() -> SimpleNamespace:
    return trial_runs.dataset(trial_runs.stripes(340), 250)


TINY = replace(param_count.PAPER, epochs=3, batch_size=32, probe_images=90, noisy_images=120, noisy_epochs=7)
STILL = replace(TINY, epochs=1, noisy_epochs=2, noisy_every=2, batch_size=100, learning_rate=1e-30)  # weights stay
CLEAN, NOISY = param_count.Nets(12, range(2, 5)), param_count.Nets(12, range(2, 5), noisy=True)


def by_hand(seed: int, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Loss and accuracy of the initial net of width 12, in float64."""
    kernels = seedwise.build(lambda: param_count.build_model(12), [seed])[0].get_weights()
    hidden = images.reshape(len(images), -1).astype(np.float64)
    for layer in range(5):
        hidden = hidden @ kernels[2 * layer] + kernels[2 * layer + 1]
        hidden = np.maximum(hidden, 0) if layer < 4 else hidden
    shares = np.exp(hidden) / np.exp(hidden).sum(axis=1, keepdims=True)
    right = shares[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(right))), float(np.mean(hidden.argmax(axis=1) == labels))


@pytest.mark.parametrize("nets", [CLEAN, NOISY])
def test_what_is_recorded_is_what_a_net_that_stands_still_has(nets, digits, nowhere):
    found = param_count.train(STILL, digits, nets, nowhere)
    order = np.random.default_rng(0).permutation(250)
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
    stopping = trial_runs.Saving(tmp_path / "kept.npz", {})
    stopping.last = 2
    with pytest.raises(trial_runs.Stopped):
        param_count.train(chosen, digits, nets, stopping)
    resumed = param_count.train(chosen, digits, nets, Checkpoint(tmp_path / "kept.npz", {}))
    as_text = [json.dumps(history.plain(results), sort_keys=True) for results in (whole, resumed)]
    assert as_text[0] == as_text[1]


def test_a_seed_is_the_same_net_in_any_company():
    alone, _, third = (
        seedwise.build(lambda: param_count.build_model(8), numbers)[-1].get_weights()
        for numbers in ([5], [0, 1], [3, 4, 5])
    )
    for one, other in zip(alone, third, strict=True):
        np.testing.assert_array_equal(one, other)
    assert seeds.stream(0, "batches") != seeds.stream(8, "batches")  # so that stacks see other batches


def test_a_paper_history_is_small_enough():
    generator = np.random.default_rng(0)
    results = {}
    for name, nets in param_count.units(param_count.PAPER).items():
        records = 64 if nets.noisy else 20
        results[name] = {each: generator.random((len(nets.seeds), records)) for each in range(7)}
    results = {unit: {"summary": {}, **kept} for unit, kept in results.items()}
    made_up = trial_runs.made_up_history("hw1_3/param_count", results)
    assert 3 * len(encode(made_up)) < LARGEST_WRITTEN


# -------------------------------------------------------------------------------------------- end to end

FLAGS = ["--scale", "quick", "--epochs", "4", "--batch-size", "32", "--probe-images", "100", "--noisy-images", "100"]
FLAGS += ["--noisy-epochs", "6", "--noisy-every", "2", "--stack-size", "2"]
FEW = ["--widths", "16", "512", "--noisy-widths", "4", "32"]


@pytest.fixture(scope="module")
def checkout(checkout: Path) -> Path:
    """The copy of the code, with striped digits."""
    return trial_runs.with_digits(checkout, trial_runs.stripes(320), trial_runs.stripes(100))


@pytest.fixture(scope="module")
def path(checkout) -> Path:
    done = trial_runs.start(checkout, "hw1_3/param_count.py", *FLAGS, *FEW)
    return trial_runs.history_path(done)


def test_a_tiny_run_records_everything(path):
    kept = history.read(path)
    assert kept["complete"]
    assert set(kept["results"]) == {
        "noisy/width-0004/seed-0-to-1",
        "noisy/width-0032/seed-0-to-1",
        "width-0016/seed-0-to-1",
        "width-0512/seed-0",
    }
    for unit, results in kept["results"].items():
        count = len(results["seeds"])
        assert count == (1 if "0512" in unit else 2)
        for name in param_count.CURVES:
            assert np.shape(results[name]) == (count, 4)  # of noisy nets epochs 1, 2, 4 and 6
        assert kept["units"][unit]["peak_memory_megabytes"] > 0
    assert kept["results"]["width-0512/seed-0"]["test_accuracy"][0][-1] > 0.5  # chance is 0.1


def test_more_seeds_extend_the_history(checkout, path):
    before = history.read(path)["results"]
    more = ["--widths", "16", "--noisy-widths", "4", "--stacks", "0", "1"]
    only = ["--unit", "width-0016/seed-2-to-3"]
    done = trial_runs.start(checkout, "hw1_3/param_count.py", *FLAGS, *more, *only)
    assert done.returncode == 0, done.stderr
    after = history.read(path)["results"]
    assert set(after) - set(before) == {"width-0016/seed-2-to-3"}
    assert {unit: after[unit] for unit in before} == before
    assert after["width-0016/seed-2-to-3"]["seeds"] == [2, 3]


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--widths", "0"], "--widths"), (["--label-noise", "1"], "--label-noise"), (["--noisy-images", "5"], "--noisy")],
)
def test_bad_settings_are_one_message(checkout, flags, words):
    done = trial_runs.start(checkout, "hw1_3/param_count.py", "--scale", "quick", *flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_figures_are_drawn_and_not_blank(checkout, path):
    done = trial_runs.start(checkout, "hw1_3/plot_param_count.py", "--history", str(path))
    assert done.returncode == 0, done.stderr
    from matplotlib import image

    for name in reported.FIGURES:
        drawing = image.imread(path.parents[2] / "figures" / f"{name}.png")[..., :3]
        inked = drawing.min(axis=2) < 0.8
        assert 0.01 < inked.mean() < 0.6, name
        for rows in np.array_split(inked, 2):  # four panels
            assert all(panel.mean() > 0.005 for panel in np.array_split(rows, 2, axis=1)), name
    assert "up to date" in trial_runs.start(checkout, "hw1_3/plot_param_count.py", "--history", str(path)).stderr


def test_an_arm_that_is_not_measured_is_said_to_be_so(path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "hw1_3")
    from common import figures

    from hw1_3 import plot_param_count

    figures.use_style()
    kept = history.read(path)
    arms = ((plot_param_count.draw_sizes, True, "all images"), (plot_param_count.draw_noise, False, "wrong labels"))
    for draw, noisy, what in arms:
        results = {unit: about for unit, about in kept["results"].items() if unit.startswith("noisy") == noisy}
        figure = draw(kept | {"results": results})
        assert figure.axes[0].texts[0].get_text() == f"nets that learn {what}: not measured yet"


# --------------------------------------------------------------------------------------- claim and report


def test_the_reference_has_the_ten_nets():
    assert list(ten_nets.REFERENCE) == list(param_count.PARAMETERS)
    assert ten_nets.CURVES == param_count.CURVES
    assert ten_nets.LAST == param_count.LAST
    for row in ten_nets.REFERENCE.values():
        assert row["train_loss"] < row["test_loss"]
        assert row["test_accuracy"] < row["train_accuracy"]


def nets_with(**values: dict[int, list[float]]) -> dict:
    """Nets whose curves are level at these values; {curve: {width: a value a seed}}."""
    nets: dict[int, dict] = {}
    for name, by_width in values.items():
        for width, ends in by_width.items():
            net = nets.setdefault(width, {"parameters": np.array(param_count.parameter_count(width))})
            net |= {"seeds": np.arange(len(ends)), "dead": np.zeros(len(ends)), name: np.tile(ends, (6, 1)).T}
    return nets


def test_the_mean_of_the_last_five_counts():
    curves = np.arange(14.0).reshape(2, 7)
    net = {"test_loss": curves, "train_loss": 0 * curves, "test_accuracy": -curves, "train_accuracy": 0 * curves}
    np.testing.assert_array_equal(ten_nets.at_the_end(net, "test_loss"), [4, 11])
    np.testing.assert_array_equal(ten_nets.gap(net, "loss"), [4, 11])
    np.testing.assert_array_equal(ten_nets.gap(net, "accuracy"), [4, 11])


@pytest.mark.parametrize(
    ("losses", "correlation", "verdict"),
    [
        ((6, 5, 4, 3, 2, 1), 1.0, claims.HOLDS),
        ((6, 5, 4, 3, 1, 2), 1 - 6 * 2 / 210, claims.HOLDS),  # 1 - 6 sum d^2 / n (n^2 - 1)
        ((6, 5, 4, 1, 3, 2), 1 - 6 * 6 / 210, claims.UNCLEAR),
        ((1, 2, 3, 4, 5, 6), -1.0, claims.FAILS),
        ((1, 6, 5, 4, 3, 2), 1 - 6 * 30 / 210, claims.FAILS),
    ],
)
def test_the_rule_of_the_rise(losses, correlation, verdict):
    widths = (16, 32, 64, 128, 256, 512)
    nets = nets_with(train_loss={width: [loss, loss + 0.1] for width, loss in zip(widths, losses, strict=True)})
    found = reported.trend(nets, "train_loss", -1)
    assert found["value"] == pytest.approx(correlation)
    assert found["verdict"] == verdict
    wider = nets | nets_with(train_loss={1024: [9.0, 9.0]})
    assert reported.trend(wider, "train_loss", -1) == found  # beyond 512 it may rise
    nets[512] = nets_with(train_loss={512: [losses[-1]]})[512]
    assert reported.trend(nets, "train_loss", -1)["verdict"] == claims.UNCLEAR
    del nets[512]
    assert reported.trend(nets, "train_loss", -1)["verdict"] == claims.UNCLEAR


def test_the_rule_of_the_level():
    def judged(*accuracies: list[float]) -> dict:
        return reported.level(nets_with(test_accuracy=dict(zip((1024, 2000, 3000, 4000), accuracies, strict=False))))

    inside = judged([0.981, 0.983], [0.9845, 0.9847], [0.982, 0.984], [0.983, 0.983])  # means, not seeds, count
    assert (inside["value"], inside["verdict"]) == (pytest.approx(0.26), claims.HOLDS)
    assert judged([0.981, 0.983], [0.984, 0.987], [0.98, 0.98], [0.98, 0.98])["verdict"] == claims.FAILS
    assert judged([0.98, 0.98], [0.98], [0.98, 0.98], [0.98, 0.98])["verdict"] == claims.UNCLEAR  # one seed
    assert judged([0.98, 0.98], [0.98, 0.98])["verdict"] == claims.UNCLEAR
    assert judged([0.98, 0.98])["widths"] == 1
    assert reported.level({})["verdict"] == claims.UNCLEAR


def ten(crossing: dict[int, int], seeds_of: dict[int, int]) -> dict:
    """Ten nets that all improve but for training from a width to the next in so many seeds."""
    losses, accuracies, loss = {}, {}, np.full(8, 1.0)
    widths = list(param_count.PARAMETERS)
    for place, width in enumerate(widths):
        worse = crossing.get(widths[place - 1], 0) if place else 0
        loss = loss + np.where(np.arange(8) < worse, 0.01, -0.01)
        count = seeds_of.get(width, 3)
        losses[width] = loss[:count].tolist()
        accuracies[width] = [0.9 + place / 1000] * count
    tested = {width: [value + 0.1 + place / 10 for value in losses[width]] for place, width in enumerate(widths)}
    return nets_with(train_loss=losses, test_loss=tested, test_accuracy=accuracies)


def test_the_rule_of_the_extra_clause():
    assert reported.crossing(ten({}, {}))["verdict"] == claims.FAILS
    assert reported.crossing(ten({512: 2}, {}))["verdict"] == claims.FAILS  # not all seeds
    found = reported.crossing(ten({512: 3}, {16: 8}))
    assert found["verdict"] == claims.HOLDS
    assert found["value"] == {"narrow": 512, "wide": 1024, "agree": 3, "seeds": 3}
    single = {2000: 1, 3000: 1, 4000: 1}
    assert reported.crossing(ten({3000: 1}, single))["verdict"] == claims.UNCLEAR
    assert reported.crossing(ten({2000: 0}, single))["verdict"] == claims.UNCLEAR  # one seed decides nothing
    some = {width: net for width, net in ten({256: 3}, {}).items() if width != 512}
    assert reported.crossing(some)["verdict"] == claims.UNCLEAR  # 256 and 1024 are no neighbours
    assert reported.crossing({})["pairs"] == 0


def test_the_claim_needs_all_its_parts():
    whole = ten({512: 3}, {})
    for place, width in enumerate(reported.LEVEL):
        whole[width]["test_accuracy"] = np.full((3, 6), 0.95 + place / 10_000)
    assert reported.c9(whole)["verdict"] == claims.HOLDS
    whole[4000]["test_accuracy"] += 0.01
    assert reported.c9(whole)["verdict"] == claims.FAILS
    assert reported.c9({})["verdict"] == claims.UNCLEAR
    assert "Too few" in reported.claim_9(reported.c9({}))["evidence"]


def noisy_nets(errors: dict[int, list[float]], learnt: dict[int, float]) -> dict:
    """Nets with wrong labels that end at these test errors, and have learnt so much of all labels."""
    return nets_with(
        test_accuracy={width: [1 - error for error in each] for width, each in errors.items()},
        test_loss={width: [2 * error for error in each] for width, each in errors.items()},
        train_accuracy={width: [learnt[width]] * len(each) for width, each in errors.items()},
    )


BUMPY = {2: 0.9, 4: 0.4, 8: 0.3, 16: 0.45, 32: 0.35, 64: 0.2}
LEARNT = {2: 0.2, 4: 0.6, 8: 0.9, 16: 0.98, 32: 1.0, 64: 1.0}
SHIFTS = np.linspace(-0.01, 0.01, 8)


def test_a_planted_bump_is_found():
    nets = noisy_nets({width: (error + SHIFTS).tolist() for width, error in BUMPY.items()}, LEARNT)
    found = reported.bump(nets, "test_accuracy", -1)
    assert (found["before"], found["peak"], found["after"], found["verdict"]) == (8, 16, 64, claims.HOLDS)
    assert found["rise"] == pytest.approx(0.15)
    assert found["fall"] == pytest.approx(0.25)
    said = reported.bump_sentence("error", found, nets, "points", 100)
    assert "agree: double descent" in said
    assert "15 points above the narrower net and 25 above the wider one (means), above both in 8 of 8 seeds" in said
    nets[16]["dead"][0] = 1
    assert len(reported.bump(nets, "test_accuracy", -1)["rise"]) == 7
    falling = nets_with(test_accuracy={width: [0.1 * width] * 8 for width in (2, 4, 8)})
    assert "has no bump" in reported.bump(falling, "test_accuracy", -1)["reason"]
    nets = noisy_nets({width: [error, error] for width, error in BUMPY.items()}, LEARNT)
    nets[8]["seeds"], nets[16]["seeds"] = np.arange(2, 4), np.arange(4, 6)
    assert "no seed is live at the three" in reported.bump(nets, "test_accuracy", -1)["reason"]


def test_a_seed_does_not_choose_the_widths_that_judge_it():
    nets = noisy_nets(
        {2: [0.3, 0.3, 0.3], 4: [0.3, 0.9, 0.9], 8: [0.1] * 3, 16: [0.5, 0.1, 0.1], 32: [0.0] * 3},
        dict.fromkeys((2, 4, 8, 16, 32), 0.0),
    )
    found = reported.bump(nets, "test_accuracy", -1)
    assert found["peak"] == 4
    assert found["rise"] == pytest.approx([0, 0.6, 0.6])  # the first seed where the others have their peak
    assert found["verdict"] == claims.UNCLEAR


def test_what_cannot_be_judged_is_not_called_flat():
    nets = noisy_nets({width: [error] * 8 for width, error in BUMPY.items()}, LEARNT)
    few = reported.bump({2: nets[2], 4: nets[4]}, "test_accuracy", -1)
    assert "cannot be judged, as fewer than three widths" in reported.bump_sentence("error", few, nets, "points", 100)
    nets[8]["dead"][:] = 1  # a width without a live net has no median and is left out
    assert reported.bump(nets, "test_accuracy", -1)["before"] == 4
    nets[4]["test_loss"] = np.full((8, 6), np.nan)
    diverged = reported.bump(nets, "test_loss", 1)
    assert diverged["verdict"] == claims.UNCLEAR
    assert "cannot be judged, as the median of a width is not finite" in diverged["reason"]
    nets[4]["dead"][:] = 1
    assert "cannot be judged" not in reported.bump(nets, "test_loss", 1)["reason"]


def test_double_descent_peaks_where_the_labels_are_just_fitted():
    def judged(**learnt: float) -> str:
        shares = LEARNT | {int(width.strip("_")): share for width, share in learnt.items()}
        nets = noisy_nets({width: (error + SHIFTS).tolist() for width, error in BUMPY.items()}, shares)
        return reported.bump_sentence("error", reported.bump(nets, "test_accuracy", -1), nets, "points", 100)

    assert "double descent" in judged()  # the peak is the last that does not fit
    assert "double descent" in judged(_16=1.0)  # the first that fits
    assert "double descent" in judged(_8=1.0, _16=1.0)  # the second that does
    elsewhere = "a bump, but not where the labels are just fitted"
    for far in (judged(_32=0.9), judged(_4=1.0), judged(_32=0.9, _64=0.9)):
        assert elsewhere in far
        assert "double descent" not in far


def test_flat_noise_seldom_counts_as_a_bump():
    generator = np.random.default_rng(0)
    widths = param_count.PAPER.noisy_widths
    verdicts = []
    for errors in generator.normal(0.3, 0.02, (200, len(widths), 8)):
        nets = nets_with(test_accuracy=dict(zip(widths, (1 - errors).tolist(), strict=True)))
        verdicts.append(reported.bump(nets, "test_accuracy", -1)["verdict"])
    assert verdicts.count(claims.HOLDS) < 0.05 * len(verdicts)


def test_the_width_that_fits_is_the_narrowest_with_99_percent():
    nets = noisy_nets({width: [0.1] * 3 for width in BUMPY}, LEARNT)
    assert ten_nets.fitting_width(nets) == 32
    nets[16]["train_accuracy"][:2] = ten_nets.FITTED
    assert ten_nets.fitting_width(nets) == 16
    assert ten_nets.fitting_width({2: nets[2]}) is None


def test_sentences_follow_the_numbers(path):
    kept = history.read(path)
    said = reported.section(kept)
    assert said["claim"]["verdict"] == claims.UNCLEAR
    net = kept["results"]["width-0512/seed-0"]
    row = said["rows"][-1]
    assert row["train_loss"] == f"{np.mean(net['train_loss']):.4f}"  # 4 epochs, fewer than 5
    assert row["train_loss_last"] == f"{net['train_loss'][0][-1]:.4f}"
    assert row["running_loss_last"] == f"{net['running_loss'][0][-1]:.4f}"
    narrow = ten_nets.by_width(kept)[16]
    ends = {name: f"{np.mean(narrow[f'{name}_loss'], axis=0)[-1]:.4f}" for name in ("train", "running", "test")}
    assert len(set(ends.values())) == 3
    assert all(said["rows"][0][f"{name}_loss_last"] == value for name, value in ends.items())
    assert row["running_accuracy"] == f"{100 * np.mean(net['running_accuracy']):.2f}"
    assert row["test_accuracy_last"] == f"{100 * net['test_accuracy'][0][-1]:.2f}"
    assert (row["train_loss_reference"], row["test_accuracy_reference"]) == ("0.0091", "98.30")
    assert "binomial" in said["comment"]["noise"][0]
    assert "binomial" not in reported.section(kept | {"data": {}})["comment"]["noise"][0]


def test_the_answer_follows_the_numbers():
    def answer(nets: dict) -> str:
        return reported.answer(nets, reported.c9(nets))

    nets = {width: net | {"train_accuracy": net["test_accuracy"]} for width, net in ten({512: 3}, {}).items()}
    for width in reported.LEVEL:
        nets[width]["test_accuracy"] = np.full((3, 6), 0.95)
    assert answer(nets).startswith(
        "By test accuracy, averaged over the last five epochs: up to 512 units a layer, yes."
    )
    assert "From 1,024 units on, level: mean test accuracies lie within 0.00 points" in answer(nets)
    nets[4000]["test_accuracy"] += 0.01
    assert (
        "not level: mean test accuracies lie within 1.00 points. The gap between training and test results has"
        in answer(nets)
    )
    reverse = {width: nets[other] for width, other in zip(nets, reversed(nets), strict=True)}
    assert "up to 512 units a layer, no." in answer(reverse)
    assert answer({}) == ""


def test_a_part_says_what_leaves_it_open():
    def said(nets: dict) -> dict[str, str]:
        return {part["name"]: reported.part_sentence(part, nets) for part in reported.c9(nets)["parts"]}

    whole = ten({512: 3}, {})
    words = said(whole)
    assert "should fall with the width: the rank correlation in that direction is 1.00 over 6 of 6" in words["loss"]
    assert "should rise" in words["accuracy"]
    assert "within 0.30 percentage points of each other (level: at most 0.3): this part" in words["level"]
    assert "leaves this part open" not in words["level"]
    assert (
        "From 512 to 1,024 units the training loss rises and yet the test accuracy rises, in all 3" in words["crossing"]
    )
    alone = said(ten({}, {2000: 1, 3000: 1, 4000: 1}))
    assert "one seed each of 2,000, 3,000 and 4,000 units, which decides nothing about others" in alone["level"]
    singles = said(ten({}, dict.fromkeys(ten_nets.REFERENCE, 1)))
    assert "No pair of neighbouring widths has two or more seeds" in singles["crossing"]
    assert "None of 6 pairs of neighbouring widths with two or more seeds" in alone["crossing"]
    assert "would do; 3 pairs of 9 have fewer seeds: this part remains unclear." in alone["crossing"]
    straight = ten({}, {})
    reverse = {width: straight[other] for width, other in zip(straight, reversed(straight), strict=True)}
    assert "is \N{MINUS SIGN}1.00 over" in said(reverse)["loss"]
    assert "does not hold" in said(reverse)["loss"]
    assert "fewer than two widths" in said({1024: whole[1024]})["level"]
    assert "No two neighbours" in reported.part_sentence(reported.c9({})["parts"][3], {})


def test_the_best_widths_are_named():
    values = {16: 0.3, 32: 0.1, 64: 0.2}

    def said(sign: int) -> str:
        losses = {width: [sign * value] for width, value in values.items()}
        accuracies = {width: [0.5 - sign * value] for width, value in values.items()}
        nets = nets_with(train_loss=losses, test_loss=losses, train_accuracy=accuracies, test_accuracy=accuracies)
        return reported.peak_sentences(nets)[0]

    assert "32 units (0.1000) by training loss" in said(1)
    assert "32 units (40.00\N{NO-BREAK SPACE}%) by test accuracy" in said(1)
    assert "16 units (\N{MINUS SIGN}0.3000) by test loss" in said(-1)


def test_the_running_loss_beside_the_clean_one():
    nets = ten({512: 3}, {})
    for width, net in nets.items():
        net["running_loss"] = 2 * net["train_loss"] + (1 if width == 4000 else 0)
    factor, trend, pairs = reported.running_sentences(nets)
    assert "is 2.0 to " in factor
    assert "The running loss is lowest at 3,000 units, the clean loss at 4,000." in factor
    assert "part is 1.00 (clean: 1.00)" in trend
    assert (
        "Of 9 pairs of neighbouring widths with several seeds, 2 (512 to 1,024 and 3,000 to 4,000 units) are worse in "
        "training and better in testing at the wider net, in all seeds, by the running loss, and 1 by the clean loss."
        in pairs
    )
    for width, net in nets.items():
        net["running_loss"] = net["train_loss"][::-1] + width
    assert "part is \N{MINUS SIGN}1.00 (clean: 1.00)" in reported.running_sentences(nets)[1]
    same = ten({}, {})
    for net in same.values():
        net["running_loss"] = 3 * net["train_loss"]
    factor, _, pairs = reported.running_sentences(same)
    assert "is 3.0 to 3.0 times the clean training loss. Both are lowest at 4,000 units." in factor
    assert "Of 9 pairs of neighbouring widths with several seeds, none are worse in training" in pairs
    assert pairs.endswith("in all seeds, by the running loss, and none by the clean loss.")


def test_the_gap_in_words():
    def said(*gaps: float) -> list[str]:
        by_width = dict(zip((16, 32, 64), gaps, strict=True))
        return reported.gap_sentences(
            nets_with(
                train_loss={width: [0.1] for width in by_width},
                test_loss={width: [0.1 + gap] for width, gap in by_width.items()},
                train_accuracy={width: [0.99] for width in by_width},
                test_accuracy={width: [0.99 - gap / 10] for width, gap in by_width.items()},
            )
        )

    loss, accuracy = said(0.1, 0.2, 0.3)
    assert "is 0.1000 nats at 16 units and 0.3000 nats at 64, rank correlation with the size 1.00." in loss
    assert "is 1.00 points at 16 units and 3.00 points at 64, rank correlation with the size 1.00." in accuracy
    assert all("\N{MINUS SIGN}1.00" in sentence for sentence in said(0.3, 0.2, 0.1))
    assert "at 16 units, 0.4000 nats at 32, where it is largest, and 0.2000 nats at 64" in said(0.1, 0.4, 0.2)[0]
    assert "largest" not in loss + accuracy


def test_the_running_gap_is_to_the_running_values():
    net = nets_with(
        test_loss={16: [0.5]}, running_loss={16: [0.2]}, test_accuracy={16: [0.9]}, running_accuracy={16: [1]}
    )
    assert ten_nets.running_gap(net[16], "loss") == pytest.approx(0.3)
    assert ten_nets.running_gap(net[16], "accuracy") == pytest.approx(0.1)


def test_single_trainings_say_something_only_beyond_chance():
    def said(deviation: float, seeds: int = 3) -> str:
        shifts = deviation * np.arange(seeds)
        return " ".join(
            reported.noise_sentences(nets_with(test_accuracy={256: 0.98 + shifts, 16: 0.95 + shifts}), 10_000)
        )

    chance = said(0.001)  # 0.1 points: two trainings differ by up to 0.28, the reference spans 0.25
    assert "by more than 0.28 points" in chance
    assert "say nothing about size" in chance
    assert "of one net" in chance
    assert "nets compared on the same images differ by less" in chance
    assert "is more than chance" in said(0.0005)
    assert "say nothing about size" not in said(0.0005)
    assert "no width of theirs has several seeds" in said(0.001, seeds=1)
    assert "diverged" in said(np.nan)


def test_the_earlier_reports_accuracies_beside_ours():
    theirs = {width: row["test_accuracy"] for width, row in ten_nets.REFERENCE.items()}
    above = {width: [value + 0.001, value + 0.003] for width, value in theirs.items()}
    above[64] = [theirs[64] - 0.01] * 2
    (difference,) = reported.reference_sentences(nets_with(test_accuracy=above))
    assert "at 9 of 10 widths, below it at 1 and equal in its digits at 0; the largest" in difference
    assert "difference is \N{MINUS SIGN}1.00 points, at 64" in difference
    below = nets_with(test_accuracy={width: [value - 0.001] for width, value in theirs.items()})
    assert "10 differences would have one sign in 1 of 512 cases" in reported.reference_sentences(below)[1]
    below[64]["test_accuracy"] = np.full_like(below[64]["test_accuracy"], theirs[64] - 0.00004)
    tied = reported.reference_sentences(below)
    assert "at 0 of 10 widths, below it at 9 and equal in its digits at 1" in tied[0]
    assert "in 1 of 256 cases" in tied[1]
    few = nets_with(test_accuracy={width: [value - 0.001] for width, value in list(theirs.items())[:5]})
    assert len(reported.reference_sentences(few)) == 1
    assert reported.reference_sentences(nets_with(test_accuracy={17: [0.9]})) == []


def test_nets_that_collapse_are_counted():
    nets = noisy_nets({width: (error + SHIFTS).tolist() for width, error in BUMPY.items()}, LEARNT)
    assert "lost a tenth" not in " ".join(reported.noise_comment(nets))
    nets[64]["train_accuracy"][:, -2:] = 1.0
    nets[64]["train_accuracy"][2, -1] = 0.6
    assert "lost a tenth of them again by the last epoch: 1 of 8 at 64 units." in " ".join(reported.noise_comment(nets))


def test_how_often_equal_nets_would_not_be_level():
    nets = ten({}, {})
    for width in reported.LEVEL:
        nets[width]["test_accuracy"] = np.full((3, 6), 0.95) + 0.002 * np.array([[-1], [0], [1]])  # 0.2 points
    said = reported.beyond_sentence(nets)
    generator = np.random.default_rng(1)
    spans = [np.ptp(generator.normal(0, 0.2, (4, 3)).mean(axis=1)) for _ in range(20_000)]
    share = float(re.search(r"in (\d+)", said)[1])
    assert share == pytest.approx(100 * np.mean(np.array(spans) > claims.C9_LEVEL), abs=2)
    assert "deviate by 0.20 points as those of 1,024, 2,000, 3,000 and 4,000 units do" in said
    assert reported.beyond_sentence({16: nets[16]}) == ""


def test_wrong_labels_in_words():
    nets = noisy_nets({width: (error + SHIFTS).tolist() for width, error in BUMPY.items()}, LEARNT)
    fitting, shared, how, error, loss, stopped, best = reported.noise_comment(nets)
    assert "have 32 units a layer" in fitting
    assert "the spread over seeds covers initialisation only" in shared
    assert "at the widths where the medians of the other seeds have theirs" in how
    assert "The median test error" in error
    assert "percentage points above the narrower net" in error
    assert "above both in 8 of 8 seeds: the seeds agree: double descent" in error
    assert "stands 0.30 nats above the narrower net and 0.50 above the wider one" in loss
    assert "The median test loss at the best epoch" in stopped
    assert "by up to 0.0 points" in best
    nets[4]["test_accuracy"][:, 2] += 0.05
    nets[2]["dead"][:3] = 1
    *_, best, dead = reported.noise_comment(nets)
    assert "by up to 5.0 points (median over seeds at 4 units" in best
    assert "3 of 8 at 2 units" in dead
    noisy = noisy_nets({width: [0.4 + error for error in SHIFTS] for width in BUMPY}, dict.fromkeys(BUMPY, 0.5))
    fitting, _, error, *_ = reported.noise_comment(noisy)
    assert "No width learns 99" in fitting
    assert "no bump" in error
    few = reported.noise_comment({2: nets[2], 4: nets[4]})
    assert all("cannot be judged" in sentence for sentence in few[2:4])
    assert reported.noise_comment({}) == []


@pytest.mark.parametrize("there", ["both arms", "sizes", "noise", "nothing"])
def test_the_section_can_be_set(there, path):
    kept = history.read(path)
    if there in ("sizes", "noise"):
        noisy = there == "noise"
        kept["results"] = {unit: found for unit, found in kept["results"].items() if unit.startswith("noisy") == noisy}
    trial_runs.typeset("param_count", None if there == "nothing" else reported.section(kept))


def test_every_field_that_the_report_needs_is_there(path):
    for results in history.read(path)["results"].values():
        assert set(reported.NEEDED) <= set(results)
