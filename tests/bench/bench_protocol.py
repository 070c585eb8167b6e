"""What `run_all.sh` does at paper scale, counted in steps from the scripts' own settings and units.

What ends when the data say so is counted at a round number, the same for all contenders: labels that are to be fitted
take all epochs that they may, nets that are to reach a loss take the steps that the other budgets need, and searches
take the numbers below. Saving, drawing, tracing and imports are left out.
"""

import math
from collections.abc import Iterator
from typing import Any

from common.data_files import CIFAR10, MNIST

from contenders.work import HALVES, Work, script_module

RISE_EVALUATIONS = 30  # of the loss, until a line has risen: growing distances, then Brent's method
LANCZOS_PRODUCTS = 100  # with the Hessian, for both ends of its spectrum
BOX_EVALUATIONS = 30  # of the loss and its gradient, in a search that runs until it converges
SENSITIVITY_MOMENTS = 4  # at which a net is measured
Counted = Iterator[tuple[Work, float]]


def experiments() -> dict[str, list[tuple[Work, float]]]:
    """{experiment: (work, how many such steps)}, in the order of run_all.sh; each step is of all nets of the work."""
    counted = {
        "hw1_1/function_fit": function_fit,
        "hw1_1/mnist_cnn": convolutional,
        "hw1_1/cifar10_cnn": convolutional,
        "hw1_2/param_pca": param_pca,
        "hw1_2/grad_norm": grad_norm,
        "hw1_2/minimal_ratio": minimal_ratio,
        "hw1_2/error_surface": error_surface,
        "hw1_3/random_labels": random_labels,
        "hw1_3/param_count": param_count,
        "hw1_3/interpolation": interpolation,
        "hw1_3/sensitivity": sensitivity,
        "hw1_3/sharpness": sharpness,
    }
    found = {}
    for name, count in counted.items():
        sums: dict[Work, float] = {}
        for work, steps in count(name, script_module(name).PAPER):
            sums[work] = sums.get(work, 0) + steps
        found[name] = list(sums.items())
    return found


def epoch(examples: int, batch_size: int) -> int:
    """Steps of one pass; the last batch may be a smaller one."""
    return -(-examples // batch_size)


def function_fit(name: str, chosen: Any) -> Counted:
    script = script_module(name)
    for activation in chosen.activations:
        for net in chosen.nets:
            about = {"script": name, "net": (net, activation), "nets": chosen.seeds, "examples": chosen.points}
            about |= {"intra_threads": 1, "inter_threads": 1}
            steps = chosen.epochs * epoch(chosen.points, chosen.batch_size) * len(chosen.functions)
            yield Work("regress", batch_size=chosen.batch_size, learning_rate=chosen.learning_rate, **about), steps
            yield Work("outputs", **about), len(script.record_epochs(chosen.epochs)) * len(chosen.functions)


def convolutional(name: str, chosen: Any) -> Counted:
    train, test = (MNIST if "mnist" in name else CIFAR10).counts
    rates = (chosen.dropout,) if "mnist" in name else (chosen.dropout, chosen.dense_dropout)
    for net in chosen.nets:
        about = {"script": name, "net": (net, *rates), **HALVES}
        epochs = chosen.epochs * len(chosen.seeds)
        work = Work("classify", **about, batch_size=chosen.batch_size, examples=train)
        yield work, epochs * epoch(train, chosen.batch_size)
        yield Work("evaluate", **about, examples=test), epochs * (1 + chosen.probe_images / test)


def param_pca(name: str, chosen: Any) -> Counted:
    script = script_module(name)
    about = {"script": name, "intra_threads": 2, "inter_threads": 1}
    nets = 2 * (chosen.runs + chosen.spare_runs)
    work = Work("regress on own points", **about, nets=nets, batch_size=chosen.batch_size, examples=chosen.points)
    yield work, chosen.epochs * epoch(chosen.points, chosen.batch_size)
    surface = Work("outputs", **about, nets=chosen.surface_steps, examples=script.SURFACE_POINTS)
    yield surface, chosen.surface_steps


def grad_norm(name: str, chosen: Any) -> Counted:
    script = script_module(name)
    about = {"script": name, "nets": chosen.seeds, "intra_threads": 1, "inter_threads": 2}
    stops = len(script.stops_of(chosen))
    for arm in chosen.arms:
        task, optimizer = arm.split("/")
        if task == "mnist":
            optimizers = {"adam": ("adam", chosen.adam_learning_rate), "sgd": ("momentum", chosen.sgd_learning_rate)}
            kinds, batch_size, examples = ("classify with norms", "norms"), chosen.batch_size, MNIST.counts[0]
        else:
            optimizers = {"adam": ("adam", chosen.function_learning_rate)}
            kinds = ("regress with norms", "norms of regression")
            batch_size, examples = chosen.function_batch_size, chosen.function_points
        which = dict(zip(("optimizer", "learning_rate"), optimizers[optimizer], strict=True))
        yield Work(kinds[0], **about, **which, batch_size=batch_size, examples=examples), chosen.iterations
        yield Work(kinds[1], **about, examples=chosen.fixed_examples), stops


def minimal_ratio(name: str, chosen: Any) -> Counted:
    script = script_module(name)
    for arm in script.arms(chosen).values():
        about = {"script": name, "net": (arm.net,), "nets": chosen.seeds, "examples": chosen.points}
        if arm.net == script.RECIPE:
            yield Work("recipe", **about, intra_threads=1, inter_threads=1), 1
            continue
        yield Work("adam in float64", **about, learning_rate=chosen.learning_rate), chosen.epochs
        yield Work("levenberg", **about), chosen.levenberg_steps
        yield Work("newton", **about), chosen.newton_steps  # from one start each


def error_surface(name: str, chosen: Any) -> Counted:
    train, test = MNIST.counts
    about = {"script": name, "net": (0,)}
    for optimizer in chosen.optimizers:
        rate = chosen.sgd_learning_rate if optimizer == "sgd" else chosen.adam_learning_rate
        which = {"batch_size": chosen.batch_size, "optimizer": optimizer, "learning_rate": rate}
        yield Work("classify", **about, **which, examples=train), chosen.steps * len(chosen.seeds)
    nets = len(chosen.seeds) * len(chosen.optimizers)
    points = (chosen.line_points + chosen.unrelated_points) * (1 + chosen.probe_images / test)
    yield Work("line", **about, examples=test), nets * points
    planes = 2 * chosen.plane_columns * chosen.plane_rows
    yield Work("line", **about, examples=chosen.plane_images), nets * planes


def random_labels(name: str, chosen: Any) -> Counted:
    train, test = MNIST.counts
    about = {"script": name, **HALVES}
    arms = [(train, chosen.epochs), (train, chosen.true_epochs)]
    arms += [(chosen.share_images, chosen.share_epochs)] * len(chosen.shares)
    for images, epochs in arms:
        which = {"batch_size": chosen.batch_size, "learning_rate": chosen.learning_rate}
        steps = epochs * epoch(images, chosen.batch_size) * len(chosen.seeds)
        yield Work("classify", **about, **which, examples=images), steps
        probes = 2 * min(chosen.probe_images, images)  # by the labels given and by the true ones
        yield Work("evaluate", **about, examples=test), epochs * len(chosen.seeds) * (1 + probes / test)


def param_count(name: str, chosen: Any) -> Counted:
    script = script_module(name)
    train, test = MNIST.counts
    for nets in script.units(chosen).values():
        about = {"script": name, "net": (nets.width,), "nets": len(nets.seeds)}
        images, epochs = (chosen.noisy_images, chosen.noisy_epochs) if nets.noisy else (train, chosen.epochs)
        which = {"batch_size": chosen.batch_size, "learning_rate": chosen.learning_rate}
        yield Work("classify", **about, **which, examples=images), epochs * epoch(images, chosen.batch_size)
        seen = images * (1 + chosen.label_noise) if nets.noisy else chosen.probe_images
        records = epoch(epochs, chosen.noisy_every) if nets.noisy else epochs
        yield Work("evaluate", **about, examples=test), records * (1 + seen / test)


def interpolation(name: str, chosen: Any) -> Counted:
    script = script_module(name)
    train, test = MNIST.counts
    about = {"script": name, "intra_threads": 1, "inter_threads": 2}
    for optimizer in ("sgd", "adam"):
        stages = [arm for arm in chosen.arms if arm.startswith(optimizer)]
        if not stages:
            continue
        steps = chosen.adam_steps
        if optimizer == "sgd":
            lengths = (chosen.early_steps, chosen.late_steps, chosen.converged_steps)
            steps = max(dict(zip(("early", "late", "converged"), lengths, strict=True))[arm[4:]] for arm in stages)
        for end in script.PAIR:
            batch_size, rate = script.batch_size_and_rate(chosen, optimizer, end)
            which = {"nets": chosen.seeds, "optimizer": optimizer, "batch_size": batch_size, "learning_rate": rate}
            yield Work("classify", **about, **which, examples=train), steps
    lines = 3 * chosen.seeds * (3 * chosen.intervals + 1) * (1 + chosen.probe_images / test)
    rises = len(script.PAIR) * chosen.seeds * chosen.directions * 2 * RISE_EVALUATIONS * chosen.probe_images / test
    yield Work("line", **about, examples=test), len(chosen.arms) * (lines + rises)


def sensitivity(name: str, chosen: Any) -> Counted:
    script = script_module(name)
    train, test = MNIST.counts
    about = {"script": name, "intra_threads": 1, "inter_threads": 2}
    for size in chosen.batch_sizes:
        seeds = chosen.medium_seeds if size <= script.MEDIUM else chosen.large_seeds
        nets, units = (chosen.seeds, 1) if size <= script.SMALL else (1, len(seeds))
        last = max(chosen.steps, chosen.epochs * epoch(train, size))
        which = {"nets": nets, "batch_size": size, "learning_rate": chosen.learning_rate}
        yield Work("classify", **about, **which, examples=train), units * last
        looks = min(last, chosen.most_steps) // chosen.check_every
        yield Work("evaluate", **about, nets=nets, examples=test), units * looks * chosen.fixed_images / test
        measured = SENSITIVITY_MOMENTS * units * nets * (1 + chosen.fixed_images / test)
        yield Work("sensitivity", **about, examples=test), measured


def sharpness(name: str, chosen: Any) -> Counted:
    _, test = MNIST.counts
    about = {"script": name, "intra_threads": 1, "inter_threads": 2}
    for size in chosen.batch_sizes:
        last = chosen.epochs * epoch(chosen.images, size)
        which = {"nets": chosen.seeds, "batch_size": size, "learning_rate": chosen.learning_rate}
        yield Work("classify", **about, **which, examples=chosen.images), last
        looks = min(last, chosen.most_steps) // chosen.check_every
        yield Work("evaluate", **about, nets=chosen.seeds, examples=chosen.images), looks
        nets = 2 * chosen.seeds + 1  # at both stops, and a rescaled twin
        yield Work("product", **about, examples=chosen.images), nets * (LANCZOS_PRODUCTS + chosen.probes)
        boxes = chosen.short_iterations + (1 + chosen.box_starts) * BOX_EVALUATIONS
        yield Work("slope", **about, examples=chosen.images), nets * 2 * boxes
        yield Work("jacobian", **about, examples=test), nets * (1 + chosen.images / test)


def kept_equal(work: Work) -> bool:
    """Whether this counts as long for others as it takes here, because no `fit` does anything of the kind."""
    from contenders.work import OURS_ONLY

    return work.kind in OURS_ONLY


def hours(parts: list[tuple[Work, float]], seconds: dict[Work, float]) -> float:
    """The sum of steps times seconds, in hours; NaN where a step was not measured."""
    return math.fsum(steps * seconds.get(work, math.nan) for work, steps in parts) / 3600
