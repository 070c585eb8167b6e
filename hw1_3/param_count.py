"""Does a larger net generalise better?

Homework 1-3, "Number of parameters v.s. Generalization". Ten nets with four equal hidden layers of 16 to 4000 ReLU
units, and so with 13,546 to 51,192,010 parameters, learn MNIST with Adam (Kingma and Ba 2015). After each epoch come
the running loss and accuracy that `fit` would show, averaged over the epoch while the weights change, and loss and
accuracy on a fixed 10,000 training images and on all test images.

A second experiment is one where too many parameters might hurt (Belkin et al. 2019, Nakkiran et al. 2020). Nets with 2
to 512 units in each layer learn 4,000 images, a fifth of them with a wrong label, for long enough to learn the wrong
labels as well. With size, the test error may then fall, rise up to the size that just fits all labels, and fall again:
double descent.

    python hw1_3/param_count.py --scale paper      hours on two CPU cores, most of them for widths 3000 and 4000
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, optimizers, seeds, seedwise, settings, training
from common.lazy import keras, tf

import numpy as np

REVISION = 1
PARAMETERS = {  # of the ten nets, by width
    16: 13_546, 32: 28_618, 64: 63_370, 128: 151_306, 256: 400_906, 512: 1_195_018,
    1024: 3_962_890, 2000: 13_596_010, 3000: 29_394_010, 4000: 51_192_010,
}  # fmt: skip
MNIST_IMAGES = 60_000  # of its training set
NARROW, WIDE = 256, 1024  # widths up to NARROW train side by side, those up to WIDE have `wide_seeds`
DEAD_IMAGES = 1000  # test images: a net with the same outputs for all of them is dead
LAST = 5  # records that the printed table averages
Widths = Annotated[tuple[int, ...], settings.Range(1, 10_000)]


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 20  # passes over the training images
    batch_size: settings.Count = 128  # images
    learning_rate: settings.Positive = 1e-3  # of Adam
    probe_images: settings.Count = 10_000  # training images, fixed, that are evaluated after each epoch
    noisy_images: Annotated[int, settings.Range(100, 10**6)] = 4000  # training images, fixed, with wrong labels
    label_noise: Annotated[float, settings.Range(0.01, 0.99)] = 0.2  # share of these images whose label is wrong
    noisy_epochs: settings.Count = 300  # passes over them
    noisy_every: settings.Count = 5  # passes between two records; before the first, every pass is recorded
    widths: Widths = tuple(PARAMETERS)  # units of each of the four hidden layers
    noisy_widths: Widths = (2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 48, 64, 128, 256, 512)  # with wrong labels
    stack_size: settings.Count = 8  # nets that train side by side, of each width up to 256 and of each noisy width
    stacks: settings.Seeds = (0,)  # stack k has seeds k x stack_size to (k + 1) x stack_size - 1
    wide_seeds: settings.Seeds = (0, 1, 2)  # of widths from 257 to 1024, one training each
    widest_seeds: settings.Seeds = (0, 1, 2)  # of larger widths, one training each

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(
    PAPER,
    epochs=4,
    probe_images=1000,
    noisy_images=1000,
    noisy_epochs=30,
    stack_size=3,
    widths=(16, 64, 256, 512),
    noisy_widths=(2, 16, 64),
    wide_seeds=(0,),
)


def build_model(width: int):
    """The net as a keras.Sequential, from (28, 28, 1) images to ten logits."""
    hidden = [keras.layers.Dense(width, activation="relu") for _ in range(4)]
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)])
    training.require_parameters(model, parameter_count(width))
    return model


def parameter_count(width: int) -> int:
    """Number of weights and biases of the net; of the ten nets, as the reference gives it."""
    return PARAMETERS.get(width, 785 * width + 3 * (width + 1) * width + (width + 1) * 10)


@dataclass(frozen=True)
class Nets:
    """What one unit trains: nets of one width side by side, one for each seed."""

    width: int
    seeds: range
    noisy: bool = False  # whether they learn few images, some with a wrong label

    @property
    def name(self) -> str:
        """width-0016/seed-0-to-7, width-1024/seed-2, noisy/width-0004/seed-0-to-7."""
        last = f"-to-{self.seeds[-1]}" if len(self.seeds) > 1 else ""
        return f"{'noisy/' * self.noisy}width-{self.width:04d}/seed-{self.seeds[0]}{last}"


def units(chosen: Settings) -> dict[str, Nets]:
    """All units by name. Those with the least arithmetic come first, so that an interrupted run has finished most."""
    size = chosen.stack_size
    stacks = [range(size * stack, size * (stack + 1)) for stack in chosen.stacks]
    nets = [Nets(width, numbers, noisy=True) for width in chosen.noisy_widths for numbers in stacks]
    for width in chosen.widths:
        alone = chosen.wide_seeds if width <= WIDE else chosen.widest_seeds
        nets += [Nets(width, each) for each in (stacks if width <= NARROW else [range(n, n + 1) for n in alone])]
    images = {True: chosen.noisy_images * chosen.noisy_epochs, False: MNIST_IMAGES * chosen.epochs}
    nets.sort(key=lambda each: parameter_count(each.width) * len(each.seeds) * images[each.noisy])
    return {each.name: each for each in nets}


def wrong_labels(labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which this share, rounded down to whole images, is replaced by a random one of the other nine.

    Returns the labels, (n,), and which were replaced, (n,) booleans. The same for all nets and seeds.
    """
    generator = np.random.default_rng(seeds.stream(0, "wrong labels"))
    replaced = np.zeros(len(labels), bool)
    replaced[generator.permutation(len(labels))[: int(share * len(labels) + 1e-9)]] = True  # 0.29 of 100 is 29
    shifts = generator.integers(1, 10, len(labels)).astype(labels.dtype)
    return np.where(replaced, (labels + shifts) % 10, labels), replaced


def train(chosen: Settings, digits: data.Dataset, nets: Nets, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train the nets of one unit. Returns curves, (seeds, records), and which nets are dead at the end.

    Running values are averages since the previous record. wrong_learnt: share of the wrong labels that a net predicts.
    """
    images, labels = digits.train_images, digits.train_labels
    epochs, every = chosen.epochs, 1
    count = chosen.noisy_images if nets.noisy else chosen.probe_images
    probe_images, probe_labels = seeds.fixed_examples((images, labels), count)
    if nets.noisy:
        probe_labels, replaced = wrong_labels(probe_labels, chosen.label_noise)
        images, labels = probe_images, probe_labels
        epochs, every = chosen.noisy_epochs, chosen.noisy_every
    fixed = [tf.constant(array) for array in (probe_images, probe_labels)]
    test = [tf.constant(array) for array in (digits.test_images, digits.test_labels)]
    names = (*training.CURVES, "wrong_learnt") if nets.noisy else training.CURVES

    models = seedwise.build(lambda: build_model(nets.width), nets.seeds)
    apply, slots = optimizers.adam(seedwise.trainable(models), chosen.learning_rate)
    update, batches_seed = seedwise.classifier_update(models, apply), seeds.stream(nets.seeds[0], "batches")
    run = training.loop(update, (images, labels), chosen.batch_size, batches_seed)
    evaluate = seedwise.evaluator(models)

    records = sorted({*range(1, min(every, epochs)), *range(every, epochs, every), epochs})  # epochs
    ends = training.epoch_ends(epochs, len(images), chosen.batch_size)
    curves = checkpoint.restore([*seedwise.trainable(models), *slots], {name: [] for name in names})
    for _, recorded in training.segments(run, [ends[epoch - 1] for epoch in records], checkpoint):
        running = training.running_means(recorded, len(images), chosen.batch_size)
        values = [running["loss"], running["accuracy"], *evaluate(*fixed), *evaluate(*test)]
        if nets.noisy:
            values.append(evaluate(probe_images[replaced], probe_labels[replaced])[1])
        for name, value in zip(names, values, strict=True):
            curves[name].append(np.asarray(value, float).tolist())

    outputs = tf.stack([model(digits.test_images[:DEAD_IMAGES], training=False) for model in models])
    dead = training.dead_nets(outputs.numpy())
    by_net = {name: np.array(curve).T for name, curve in curves.items()}  # (seeds, records)
    about = {"width": nets.width, "parameters": parameter_count(nets.width), "seeds": list(nets.seeds), "dead": dead}
    summary = {name.replace("_", " "): by_net[name][:, -LAST:].mean(axis=1) for name in names}
    return {**about, "epochs": records, **by_net, "summary": {"parameters": about["parameters"], **summary}}


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    nets = units(run.settings)
    experiment = history.start(run, REVISION, list(nets), digits)
    for unit in experiment.missing():
        backend.start()  # all threads: the wide nets take most of the time, and small ones lose little by it
        experiment.keep(unit, train(run.settings, digits, nets[unit], experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
