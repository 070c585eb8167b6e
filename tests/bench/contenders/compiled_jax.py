"""The same nets in JAX: `jit`, with `vmap` over the nets of a stack, Adam written out.

Steps run in a Python loop over a compiled step, or in a compiled loop over steps; the faster of the two is taken.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from contenders import examples
from contenders.work import TRAINING, Work

Steps = Callable[[int], float]
EVALUATION_BATCH = 1000
JACOBIAN_BATCH = 500
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}


def load(work: Work, name: str, layers: Sequence[dict[str, Any]]) -> tuple[Steps, str]:
    """run(steps) -> seconds, and which loop. layers: of `keras_fit.describe`."""
    if work.kind == "hessian":
        return hessians(work, layers), "jit of vmap of hessian"
    if work.kind in TRAINING:
        return trained(work, layers)
    if work.kind == "jacobian":
        kind = np.float64 if name == "jax float64" else np.float32
        return jacobian(work, layers, kind), f"jit of vmap of jacrev, {JACOBIAN_BATCH} images at once"
    return evaluate(work, layers), f"jit, batch {EVALUATION_BATCH}"


def initial(key: jax.Array, layers: Sequence[dict[str, Any]]) -> list:
    """Kernel and bias (or none) of each layer that has weights."""
    found = []
    for layer in layers:
        if layer["multiply_adds"]:
            window = (3, 3) if layer["kind"] == "Conv2D" else ()
            shape = (*window, layer["inputs"], layer["outputs"])
            key, own = jax.random.split(key)
            kernel = jax.random.normal(own, shape) / math.sqrt(math.prod(shape[:-1]))
            found.append((kernel, jnp.zeros(layer["outputs"])) if layer["bias"] else (kernel,))
    return found


def forward(weights: list, layers: Sequence[dict[str, Any]], batch: jax.Array, key: jax.Array | None) -> jax.Array:
    """Outputs; dropout where there is a key."""
    remaining = iter(weights)
    for number, layer in enumerate(layers):
        if layer["multiply_adds"]:
            kernel, *bias = next(remaining)
            if layer["kind"] == "Conv2D":
                about = {"padding": layer["padding"].upper(), "dimension_numbers": ("NHWC", "HWIO", "NHWC")}
                batch = lax.conv_general_dilated(batch, kernel, (1, 1), **about)
            else:
                batch = batch @ kernel
            batch = batch + bias[0] if bias else batch
            batch = ACTIVATIONS.get(layer["activation"], lambda values: values)(batch)
        elif layer["kind"] == "MaxPooling2D":
            batch = lax.reduce_window(batch, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        elif layer["kind"] == "Flatten":
            batch = batch.reshape(len(batch), -1)
        elif key is not None and layer["rate"]:
            kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - layer["rate"], batch.shape)
            batch = jnp.where(kept, batch / (1 - layer["rate"]), 0.0)
    return batch


def cross_entropies(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """(examples,), nats."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)[:, 0]


def pictures(work: Work, layers: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels; of MNIST's shape where the first convolution sees one channel, else of CIFAR-10's."""
    first = layers[0]
    if first["kind"] == "Flatten":
        return examples.pictures(first["shape"], work.examples)
    return examples.pictures([28, 28, 1] if first["inputs"] == 1 else [32, 32, 3], work.examples)


def trained(work: Work, layers: Sequence[dict[str, Any]]) -> tuple[Steps, str]:
    """Steps over batches shuffled every epoch, gathered by index from arrays in memory."""
    regression = work.kind.startswith("regress")
    if regression:
        inputs, targets = (jnp.asarray(array[:, None]) for array in examples.points(work.examples))
    else:
        inputs, targets = map(jnp.asarray, pictures(work, layers))
    batch_size = min(work.batch_size, work.examples)
    per_epoch = work.examples // batch_size

    def loss(weights: list, batch: jax.Array, wanted: jax.Array, key: jax.Array) -> jax.Array:
        outputs = forward(weights, layers, batch, key)
        return jnp.mean(jnp.square(outputs - wanted) if regression else cross_entropies(outputs, wanted))

    def of_one(weights: list, first: list, second: list, count: jax.Array, batch: tuple, key: jax.Array) -> tuple:
        value, slopes = jax.value_and_grad(loss)(weights, *batch, key)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(each)) for each in jax.tree.leaves(slopes)))
        first = jax.tree.map(lambda old, slope: 0.9 * old + 0.1 * slope, first, slopes)
        second = jax.tree.map(lambda old, slope: 0.999 * old + 0.001 * jnp.square(slope), second, slopes)
        rate = work.learning_rate * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        weights = jax.tree.map(lambda old, m, v: old - rate * m / (jnp.sqrt(v) + 1e-7), weights, first, second)
        return weights, first, second, norm if work.kind.endswith("norms") else value

    def step(state: tuple, held: tuple) -> tuple:
        weights, first, second, count, order, _ = state
        inputs, targets = held
        shuffled = jax.random.fold_in(jax.random.key(1), count)
        order = lax.cond(count % per_epoch > 0, lambda: order, lambda: jax.random.permutation(shuffled, work.examples))
        chosen = lax.dynamic_slice(order, (count % per_epoch * batch_size,), (batch_size,))
        batch, number = (inputs[chosen], targets[chosen]), jnp.asarray(count + 1, jnp.float32)
        key = jax.random.fold_in(jax.random.key(0), count)
        if work.nets == 1:
            *found, value = of_one(weights, first, second, number, batch, key)
        else:
            keys = jax.random.split(key, work.nets)
            *found, value = jax.vmap(of_one, (0, 0, 0, None, None, 0))(weights, first, second, number, batch, keys)
        return (*found, count + 1, order, value)

    keys = jax.random.split(jax.random.key(0), work.nets)
    weights = initial(keys[0], layers) if work.nets == 1 else jax.vmap(lambda key: initial(key, layers))(keys)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (
        weights,
        zeros,
        jax.tree.map(jnp.copy, zeros),
        jnp.asarray(0),
        jnp.arange(work.examples),
        jnp.zeros(work.nets if work.nets > 1 else ()),
    )
    held = (inputs, targets)
    single = jax.jit(step, donate_argnums=0)
    many = jax.jit(
        lambda state, held, steps: lax.fori_loop(0, steps, lambda _, state: step(state, held), state), donate_argnums=0
    )

    def one_by_one(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state = single(state, held)
        jax.block_until_ready(state)

    def in_a_loop(steps: int) -> None:
        nonlocal state
        state = jax.block_until_ready(many(state, held, steps))

    took = {}
    for name, run in (("Python loop", one_by_one), ("compiled loop", in_a_loop)):
        run(1)
        once = examples.seconds(run, 1)
        steps = max(2, min(200, int(0.5 / once)))
        took[name] = examples.seconds(run, steps) / steps
    best = min(took, key=took.__getitem__)
    run = one_by_one if best == "Python loop" else in_a_loop
    return lambda steps: examples.seconds(run, steps), f"{'vmap, ' if work.nets > 1 else ''}{best}"


def evaluate(work: Work, layers: Sequence[dict[str, Any]]) -> Steps:
    """Loss and accuracy on all examples, in large batches."""
    images, labels = pictures(work, layers)
    weights = initial(jax.random.key(0), layers)

    @jax.jit
    def total(weights: list, batch: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = forward(weights, layers, batch, None)
        return jnp.sum(cross_entropies(logits, wanted)), jnp.sum(jnp.argmax(logits, 1) == wanted)

    def step() -> None:
        sums = np.zeros(2)
        for first in range(0, len(images), EVALUATION_BATCH):
            part = slice(first, first + EVALUATION_BATCH)
            sums += [float(each) for each in total(weights, images[part], labels[part])]

    step()
    return examples.repeated(step)


def jacobian(work: Work, layers: Sequence[dict[str, Any]], kind: type) -> Steps:
    """Norms of the Jacobian of the softmax, an image at a time, in float32 or float64."""
    jax.config.update("jax_enable_x64", kind == np.float64)
    images = pictures(work, layers)[0].astype(kind)
    weights = jax.tree.map(lambda array: array.astype(kind), initial(jax.random.key(0), layers))

    @jax.jit
    def lengths(weights: list, batch: jax.Array) -> jax.Array:
        def shares(image: jax.Array) -> jax.Array:
            return jax.nn.softmax(forward(weights, layers, image[None], None)[0])

        return jax.vmap(lambda image: jnp.linalg.norm(jax.jacrev(shares)(image).ravel()))(batch)

    def step() -> None:
        for first in range(0, len(images), JACOBIAN_BATCH):
            np.asarray(lengths(weights, images[first : first + JACOBIAN_BATCH]))

    step()
    return examples.repeated(step)


def hessians(work: Work, layers: Sequence[dict[str, Any]]) -> Steps:
    """Losses, gradients and Hessians of all nets at once, float64."""
    jax.config.update("jax_enable_x64", True)
    inputs, targets = (jnp.asarray(array[:, None]) for array in examples.points(work.examples, np.float64))
    shapes = [(layer["inputs"], layer["outputs"]) for layer in layers]
    weights = jax.random.normal(jax.random.key(0), (work.nets, sum((rows + 1) * columns for rows, columns in shapes)))

    def loss(flat: jax.Array) -> jax.Array:
        arrays, position = [], 0
        for rows, columns in shapes:
            kernel = flat[position : position + rows * columns].reshape(rows, columns)
            position += rows * columns
            arrays.append((kernel, flat[position : position + columns]))
            position += columns
        return jnp.mean(jnp.square(forward(arrays, layers, inputs, None) - targets))

    found = jax.jit(jax.vmap(lambda flat: (*jax.value_and_grad(loss)(flat), jax.hessian(loss)(flat))))
    return examples.repeated(lambda: jax.block_until_ready(found(weights)))
