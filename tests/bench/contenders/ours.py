"""The steps as the scripts do them: their nets, the loops of `common`, their threads."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from common import backend, landscape, stacked

import numpy as np

from contenders import examples
from contenders.work import NUMPY_ONLY, TRAINING, Work, script_module

Steps = Callable[[int], float]


def load(work: Work, name: str, layers: list) -> tuple[Steps, str]:
    """run(steps) -> seconds, and the threads of TensorFlow."""
    if work.kind in NUMPY_ONLY:
        return small_nets(work), "NumPy, float64"
    backend.start(work.intra_threads, work.inter_threads)
    about = backend.environment()
    threads = f"{about['intra_threads']} intra-op, {about['inter_threads']} inter-op"
    if MEASUREMENTS.get(work.kind) in (jacobian, curvature):
        threads = "NumPy, float64"
    return (trained if work.kind in TRAINING else MEASUREMENTS[work.kind])(work), threads


# ------------------------------------------------------------------------------------------------ training


def trained(work: Work) -> Steps:
    """Steps of `training.loop`."""
    from common import training

    update, arrays = UPDATES[work.kind](work)
    jit_compile = work.kind.startswith("regress") or work.batch_size == 1  # as the scripts do
    run, done = training.loop(update, arrays, work.batch_size, 0, jit_compile), 0

    def steps(count: int) -> float:
        nonlocal done
        seconds = examples.seconds(run, done, count)
        done += count
        return seconds

    return steps


def classifiers(work: Work) -> list:
    """The nets of the script, one a seed."""
    from common import seedwise

    script = script_module(work.script)
    return seedwise.build(lambda: script.build_model(*work.net), range(work.nets))


def optimizer(work: Work, variables: Sequence) -> Callable:
    """apply(gradients) of the optimizer that the work names."""
    from common import optimizers

    if work.optimizer == "adam":
        return optimizers.adam(variables, work.learning_rate)[0]
    return optimizers.sgd(variables, work.learning_rate, 0.9 if work.optimizer == "momentum" else 0.0)[0]


def classify(work: Work) -> tuple[Callable, tuple]:
    """A step of one net as `training.train_classifier` takes it, or of several as `seedwise` does."""
    from common import seedwise, training

    models = classifiers(work)
    apply = optimizer(work, seedwise.trainable(models))
    arrays = examples.pictures(models[0].input_shape[1:], work.examples)
    if work.nets == 1:
        return training.classifier_update(models[0], apply), arrays
    return seedwise.classifier_update(models, apply), arrays


def regress(work: Work) -> tuple[Callable, tuple]:
    """A step of a stack of nets on the same points, as in function_fit.py."""
    import tensorflow as tf

    outputs, weights = stack(work)
    apply = optimizer(work, [weights])

    def update(inputs: tf.Tensor, targets: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            losses = tf.reduce_mean(tf.square(outputs(inputs) - targets), axis=1)
            total = tf.reduce_sum(losses)
        apply([tape.gradient(total, weights)])
        return {"loss": total / work.nets}

    return update, examples.points(work.examples)


def stack(work: Work) -> tuple[Callable, Any]:
    """outputs(points) -> (nets, points) of the script's nets, all in the variable that is returned beside."""
    import tensorflow as tf

    script = script_module(work.script)
    if work.script == "hw1_1/function_fit":
        net, activation = work.net
        widths, nonlinearity = script.WIDTHS[net], getattr(tf.nn, activation)
    else:
        widths, nonlinearity = script.WIDTHS, tf.nn.relu
    weights = tf.Variable(stacked.glorot_uniform(widths, range(work.nets)).astype(np.float32))
    return lambda points: stacked.forward(weights, points, widths, nonlinearity), weights


def regress_on_own_points(work: Work) -> tuple[Callable, tuple]:
    """A step of a stack of nets, half of which have batches of their own, as in param_pca.py."""
    import tensorflow as tf

    script = script_module(work.script)
    weights = tf.Variable(script.initial_weights(work.nets))
    outputs = stacked.copies_of(script.build_model())
    apply = optimizer(work, [weights])

    def update(inputs: tf.Tensor, targets: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            errors = outputs(weights, tf.transpose(inputs)) - tf.transpose(targets)
            total = tf.reduce_sum(tf.reduce_mean(tf.square(errors), axis=1))
        apply([tape.gradient(total, weights)])
        return {"loss": total / work.nets}

    rows = np.linspace(-1, 1, work.examples)[script.batch_orders(work.examples, work.nets // 2)]
    return update, (rows.astype(np.float32), script.target(rows).astype(np.float32))


def norms_of(work: Work) -> tuple[Callable, Callable, tuple]:
    """values and apply of an arm of grad_norm.py, and its examples."""
    script = script_module(work.script)
    chosen = replace(script.PAPER, seeds=work.nets)
    if work.kind.endswith("regression") or work.kind.startswith("regress"):
        values, apply, _, _ = script.function_nets(chosen)
        return values, apply, script.function_data(work.examples)
    values, apply, _, models = script.image_nets(chosen, "adam" if work.optimizer == "adam" else "sgd")
    return values, apply, examples.pictures(models[0].input_shape[1:], work.examples)


def with_norms(work: Work) -> tuple[Callable, tuple]:
    """A step of grad_norm.py, which records the norm of each net's gradient."""
    values, apply, arrays = norms_of(work)

    def update(inputs: Any, targets: Any) -> dict[str, Any]:
        losses, norms, gradients = values(inputs, targets)
        apply(gradients)
        return {"loss": losses, "gradient_norm": norms}

    return update, arrays


UPDATES = {
    "classify": classify,
    "classify with norms": with_norms,
    "regress": regress,
    "regress with norms": with_norms,
    "regress on own points": regress_on_own_points,
}


# ------------------------------------------------------------------------------- evaluations and measurements


def evaluate(work: Work) -> Steps:
    """Loss and accuracy of all nets on all examples."""
    from common import seedwise, training

    import tensorflow as tf

    models = classifiers(work)
    evaluator = training.evaluator(models[0]) if work.nets == 1 else seedwise.evaluator(models)
    images, labels = (tf.constant(each) for each in examples.pictures(models[0].input_shape[1:], work.examples))
    return examples.repeated(lambda: evaluator(images, labels))


def outputs(work: Work) -> Steps:
    """Outputs of a stack on all points."""
    import tensorflow as tf

    forward, _ = stack(work)
    compiled = tf.function(forward, autograph=False)
    inputs = tf.constant(examples.points(work.examples)[0])
    return examples.repeated(lambda: compiled(inputs).numpy())


def norms(work: Work) -> Steps:
    """Loss and gradient norm of each net on a fixed set, as in grad_norm.py."""
    import tensorflow as tf

    values, _, arrays = norms_of(work)
    fixed = [tf.constant(array) for array in arrays]
    measure = tf.function(lambda: tf.stack(values(*fixed)[:2]), autograph=False, jit_compile=False)
    return examples.repeated(lambda: measure().numpy())


def jacobian(work: Work) -> Steps:
    """Norms of the Jacobians of softmax and logits, or with "sensitivity" all that sensitivity.py measures."""
    script = script_module(work.script)
    from hw1_3 import jacobians

    (model,) = classifiers(work)
    arrays = model.get_weights()
    images, labels = examples.pictures(model.input_shape[1:], work.examples)
    if work.kind == "sensitivity":
        return examples.repeated(lambda: script.measure(arrays, images, labels))
    return examples.repeated(lambda: jacobians.jacobian_norms(arrays, images))


def line(work: Work) -> Steps:
    """Points of a line through the weights of a net, as error_surface.py or interpolation.py take them."""
    script_module(work.script)
    one, other = (model.get_weights() for model in classifiers(replace(work, nets=2)))
    images, labels = examples.pictures((28, 28, 1), work.examples)
    at = landscape.evaluator(images, labels)(one, other)
    coefficients = np.stack([1 - np.linspace(0, 1, 1000), np.linspace(0, 1, 1000)], axis=1)

    def steps(count: int) -> float:
        return examples.seconds(at, np.resize(coefficients, (count, 2)))

    steps(1)
    return steps


def curvature(work: Work) -> Steps:
    """Products with the Hessian of sharpness.py ("product"), or loss and gradient in float64 ("slope")."""
    from common import weights

    script_module(work.script)
    from hw1_3 import hessian

    (model,) = classifiers(work)
    arrays = model.get_weights()
    images, labels = examples.pictures(model.input_shape[1:], work.examples)
    about = [array.shape for array in arrays], images.reshape(len(images), -1).astype(np.float64), labels
    centre = weights.flatten(arrays)
    if work.kind == "product":
        _, slope, product = hessian.passes(centre, *about)
        return examples.repeated(lambda: product(slope))
    return examples.repeated(lambda: hessian.passes(centre, *about)[:2])


def recipe(work: Work) -> Steps:
    """The whole of earlier_recipe.py, with as many epochs and moves as minimal_ratio.py has it do."""
    script = script_module(work.script)
    from hw1_2 import earlier_recipe

    chosen, about = script.PAPER, script.grid(script.PAPER, "f1")
    counts = work.nets, chosen.epochs, chosen.sphere_points
    return examples.repeated(lambda: earlier_recipe.train(*about, *counts))


MEASUREMENTS = {
    "evaluate": evaluate,
    "outputs": outputs,
    "norms": norms,
    "norms of regression": norms,
    "jacobian": jacobian,
    "sensitivity": jacobian,
    "line": line,
    "product": curvature,
    "slope": curvature,
    "recipe": recipe,
}


# ------------------------------------------------------------------------------ many tiny nets, NumPy, float64


def small_nets(work: Work) -> Steps:
    """Hessians of all nets; or steps of minimal_ratio.py's searches: Adam, Newton, Levenberg and Marquardt."""
    script = script_module(work.script)
    from hw1_2 import newton

    widths = script.WIDTHS[work.net[0]]
    start = stacked.glorot_uniform(widths, range(work.nets))
    inputs, targets = examples.points(work.examples, np.float64)
    about = (script.INPUT_SCALE * inputs, targets, widths)
    if work.kind == "hessian":
        return examples.repeated(lambda: newton.hessians(start, *about))
    if work.kind == "adam in float64":

        def slopes(at: np.ndarray) -> np.ndarray:
            return newton.gradients(at, *about)[1]

        return lambda steps: examples.seconds(newton.adam_path, start, slopes, work.learning_rate, [steps])
    if work.kind == "newton":
        search, evaluation = newton.minimise_gradient_norm, newton.hessians
    else:
        search, evaluation = newton.minimise_loss, newton.gauss_newton
    return lambda steps: examples.seconds(search, lambda at: evaluation(at, *about), start, steps, 0.0)
