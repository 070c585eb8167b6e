"""The same nets in eager PyTorch with fused Adam, its threads as it sets them.

Many nets in one step are stacked, with one batched product a layer (`baddbmm`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from contenders import examples
from contenders.work import TRAINING, Work

Steps = Callable[[int], float]
EVALUATION_BATCH = 1000
JACOBIAN_BATCH = 500
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def load(work: Work, name: str, layers: Sequence[dict[str, Any]]) -> tuple[Steps, str]:
    """run(steps) -> seconds. layers: of `keras_fit.describe`."""
    torch.manual_seed(0)
    if work.kind == "hessian":
        return hessians(work, layers), "vmap of hessian"
    last = name.endswith("channels last")
    model = stack(layers, work.nets) if work.kind.startswith("regress") else network(layers)
    if last:
        model = model.to(memory_format=torch.channels_last)
    if work.kind in TRAINING:
        return trained(work, model, layers, last), f"{torch.get_num_threads()} threads"
    if work.kind == "jacobian":
        return jacobian(work, model, layers), f"vmap of jacrev, {JACOBIAN_BATCH} images at once"
    return evaluate(work, model, layers, last), f"batch {EVALUATION_BATCH}"


def network(layers: Sequence[dict[str, Any]]) -> nn.Sequential:
    """One net. Flatten sees the channels first here, which changes no size."""
    made: list[nn.Module] = []
    for layer in layers:
        if layer["kind"] == "Conv2D":
            made.append(nn.Conv2d(layer["inputs"], layer["outputs"], 3, padding=layer["padding"]))
        elif layer["kind"] == "Dense":
            made.append(nn.Linear(layer["inputs"], layer["outputs"], bias=layer["bias"]))
        else:
            other = {"MaxPooling2D": lambda: nn.MaxPool2d(2), "Flatten": nn.Flatten}
            made.append(nn.Dropout(layer["rate"]) if layer["kind"] == "Dropout" else other[layer["kind"]]())
        if layer.get("activation") in ACTIVATIONS:
            made.append(ACTIVATIONS[layer["activation"]]())
    return nn.Sequential(*made)


class Stack(nn.Module):
    """Fully connected nets side by side; batch (examples, inputs) -> (nets, examples, outputs)."""

    def __init__(self, layers: Sequence[dict[str, Any]], nets: int):
        super().__init__()
        sizes = [(layer["inputs"], layer["outputs"]) for layer in layers]
        self.kernels = nn.ParameterList(torch.randn(nets, *size) / size[0] ** 0.5 for size in sizes)
        self.biases = nn.ParameterList(torch.zeros(nets, 1, size[1]) for size in sizes)
        self.activations = [getattr(torch, layer["activation"], None) for layer in layers]

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        hidden = batch.expand(len(self.kernels[0]), *batch.shape)
        for kernel, bias, activation in zip(self.kernels, self.biases, self.activations, strict=True):
            hidden = torch.baddbmm(bias, hidden, kernel)
            hidden = activation(hidden) if activation else hidden
        return hidden


def stack(layers: Sequence[dict[str, Any]], nets: int) -> nn.Module:
    """The nets of a regression: one as a net of its own, several stacked."""
    return network(layers) if nets == 1 else Stack(layers, nets)


def pictures(work: Work, layers: Sequence[dict[str, Any]], last: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, channels first in their shape, and labels."""
    first = layers[0]
    shape = first["shape"] if first["kind"] == "Flatten" else picture_shape(first)
    images, labels = examples.pictures(shape, work.examples)
    held = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    if last:
        held = held.contiguous(memory_format=torch.channels_last)
    return held, torch.from_numpy(labels.astype(np.int64))


def picture_shape(first: dict[str, Any]) -> list[int]:
    """MNIST's where the first convolution sees one channel, else CIFAR-10's."""
    return [28, 28, 1] if first["inputs"] == 1 else [32, 32, 3]


def trained(work: Work, model: nn.Module, layers: Sequence[dict[str, Any]], last: bool) -> Steps:
    """Steps over shuffled batches, gathered by index from arrays in memory."""
    regression = work.kind.startswith("regress")
    if regression:
        inputs, targets = (torch.from_numpy(array[:, None]) for array in examples.points(work.examples))
    else:
        inputs, targets = pictures(work, layers, last)
    optimizer = torch.optim.Adam(model.parameters(), lr=work.learning_rate, eps=1e-7, fused=True)
    model.train()
    per_epoch, done, order = -(-work.examples // work.batch_size), 0, torch.empty(0)

    def step() -> None:
        nonlocal done, order
        position = done % per_epoch * work.batch_size
        if position == 0:
            order = torch.randperm(work.examples)
        chosen = order[position : position + work.batch_size]
        optimizer.zero_grad()
        outputs = model(inputs[chosen])
        if regression:
            loss = torch.square(outputs - targets[chosen]).mean(dim=(-2, -1)).sum()
        else:
            loss = nn.functional.cross_entropy(outputs, targets[chosen])
        loss.backward()
        if work.kind.endswith("norms"):
            nn.utils.get_total_norm([each.grad for each in model.parameters()])
        optimizer.step()
        done += 1

    return examples.repeated(step)


def evaluate(work: Work, model: nn.Module, layers: Sequence[dict[str, Any]], last: bool) -> Steps:
    """Loss and accuracy on all examples, in large batches."""
    images, labels = pictures(work, layers, last)
    model.eval()

    @torch.inference_mode()
    def step() -> None:
        loss = correct = 0.0
        for batch, wanted in zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True):
            logits = model(batch)
            loss += nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
            correct += (logits.argmax(1) == wanted).sum().item()

    return examples.repeated(step)


def jacobian(work: Work, model: nn.Module, layers: Sequence[dict[str, Any]]) -> Steps:
    """Norms of the Jacobian of the softmax, an image at a time."""
    images, _ = pictures(work, layers, False)

    def shares(image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(model(image[None])[0], dim=0)

    slopes = torch.func.vmap(torch.func.jacrev(shares))

    def step() -> None:
        for batch in images.split(JACOBIAN_BATCH):
            slopes(batch).flatten(1).norm(dim=1).detach()

    return examples.repeated(step)


def hessians(work: Work, layers: Sequence[dict[str, Any]]) -> Steps:
    """Hessians of all nets at once, float64."""
    inputs, targets = (torch.from_numpy(array[:, None]) for array in examples.points(work.examples, np.float64))
    weights = torch.randn(work.nets, sum(layer["parameters"] for layer in layers), dtype=torch.float64)

    def loss(flat: torch.Tensor) -> torch.Tensor:
        hidden, position = inputs, 0
        for layer in layers:
            rows, columns = layer["inputs"], layer["outputs"]
            kernel = flat[position : position + rows * columns].view(rows, columns)
            position += rows * columns
            hidden = hidden @ kernel + flat[position : position + columns]
            position += columns
            if layer["activation"] == "tanh":
                hidden = torch.tanh(hidden)
        return torch.square(hidden - targets).mean()

    found = torch.func.vmap(torch.func.hessian(loss))
    return examples.repeated(lambda: found(weights))
