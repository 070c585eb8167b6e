"""What the report calls each setting, and in what unit it writes it; what a setting means stands in its script."""

from typing import Any

from report.wording import MINUS, short_line

IMAGE_NETS = {
    "epochs": ("epochs", ""),
    "batch_size": ("images a batch", ""),
    "learning_rate": ("learning rate of Adam", ""),
    "probe_images": ("images of the clean evaluation", ""),
    "nets": ("nets", ""),
    "seeds": ("seeds", ""),
}
NAMES: dict[str, dict[str, tuple[str, str]]] = {  # experiment, setting: words, unit
    "hw1_1/function_fit": {
        "epochs": ("epochs", ""),
        "points": ("points, on an even grid", ""),
        "batch_size": ("points a batch", ""),
        "learning_rate": ("learning rate of Adam", ""),
        "seeds": ("nets of each kind, one a seed", ""),
        "functions": ("functions", ""),
        "activations": ("hidden activations", ""),
        "nets": ("nets", ""),
    },
    "hw1_1/cifar10_cnn": IMAGE_NETS
    | {
        "dropout": ("share dropped after pooling", ""),
        "dense_dropout": ("share dropped before last Dense", ""),
    },
    "hw1_1/mnist_cnn": IMAGE_NETS | {"dropout": ("share dropped by each dropout", "")},
    "hw1_2/param_pca": {
        "epochs": ("epochs", ""),
        "record_every": ("weights recorded every", "epochs"),
        "points": ("points, on an even grid", ""),
        "batch_size": ("points a batch", ""),
        "learning_rate": ("learning rate of Adam", ""),
        "runs": ("runs shown, and of the control", "each"),
        "spare_runs": ("spare runs, should some be dead", "each"),
        "surface_steps": ("points of the surface a side", ""),
        "layer": ("layer with a plane of its own", ""),
    },
    "hw1_2/grad_norm": {
        "iterations": ("iterations", ""),
        "batch_size": ("images a batch", ""),
        "adam_learning_rate": ("learning rate, Adam on MNIST", ""),
        "sgd_learning_rate": ("learning rate, momentum", ""),
        "momentum": ("factor of momentum", ""),
        "function_points": ("points of f1, on an even grid", ""),
        "function_batch_size": ("points a batch of f1", ""),
        "function_learning_rate": ("learning rate, Adam on f1", ""),
        "fixed_examples": ("examples of the fixed set", ""),
        "fixed_every": ("fixed set measured every", "iterations"),
        "window": ("length of the window", "iterations"),
        "window_start": ("the window begins at iteration", ""),
        "seeds": ("seeds, side by side", ""),
        "arms": ("trainings", ""),
    },
    "hw1_2/minimal_ratio": {
        "epochs": ("epochs, a step each", ""),
        "points": ("points, on an even grid", ""),
        "learning_rate": ("learning rate of Adam", ""),
        "newton_steps": ("steps on the norm, at most", ""),
        "levenberg_steps": ("Levenberg-Marquardt steps", ""),
        "sphere_points": ("points on the sphere", ""),
        "draws": ("draws of the predicted share", ""),
        "seeds": ("trainings of each net", ""),
        "nets": ("nets", ""),
        "ridges": ("ridges", ""),
        "ridge_functions": ("functions, with a ridge", ""),
    },
    "hw1_2/error_surface": {
        "steps": ("updates", ""),
        "batch_size": ("images a batch", ""),
        "sgd_learning_rate": ("learning rate of SGD", ""),
        "adam_learning_rate": ("learning rate of Adam", ""),
        "record_every": ("weights recorded every", "updates"),
        "probe_images": ("training images of the lines", ""),
        "line_points": ("points of a line", ""),
        "unrelated_points": ("points from an unrelated start", ""),
        "plane_images": ("training images of the planes", ""),
        "plane_columns": ("points of a plane across", ""),
        "plane_rows": ("points of a plane along", ""),
        "plane_reach": ("random plane, filter lengths", ""),
        "optimizers": ("optimizers", ""),
        "seeds": ("seeds", ""),
    },
    "hw1_3/random_labels": {
        "epochs": ("epochs, all shuffled, at most", ""),
        "true_epochs": ("epochs, true labels", ""),
        "share_epochs": ("epochs, a share, at most", ""),
        "share_images": ("images, a share shuffled", ""),
        "batch_size": ("images a batch", ""),
        "learning_rate": ("learning rate of Adam", ""),
        "fit_loss": ("fitted: loss at most", "nats"),
        "fit_accuracy": ("fitted: accuracy at least", ""),
        "fit_epochs": ("fitted: epochs in a row", ""),
        "probe_images": ("fixed training images", ""),
        "shares": ("shares of the labels shuffled", ""),
        "seeds": ("seeds", ""),
    },
    "hw1_3/param_count": {
        "epochs": ("epochs", ""),
        "batch_size": ("images a batch", ""),
        "learning_rate": ("learning rate of Adam", ""),
        "probe_images": ("fixed training images", ""),
        "noisy_images": ("images, some with wrong labels", ""),
        "label_noise": ("share of wrong labels", ""),
        "noisy_epochs": ("epochs with wrong labels", ""),
        "noisy_every": ("wrong labels: measured every", "epochs"),
        "widths": ("units a layer", ""),
        "noisy_widths": ("units a layer, with wrong labels", ""),
        "stack_size": ("seeds side by side (to 256 units)", ""),
        "stacks": ("groups of these seeds", ""),
        "wide_seeds": ("seeds of 257 to 1,024 units", ""),
        "widest_seeds": ("seeds of more units", ""),
    },
    "hw1_3/interpolation": {
        "early_steps": ("updates of SGD, early", ""),
        "late_steps": ("updates of SGD, late", ""),
        "converged_steps": ("updates of SGD, converged", ""),
        "adam_steps": ("updates of Adam", ""),
        "small_batch": ("small batch, also of Adam", "images"),
        "large_batch": ("large batch", "images"),
        "sgd_learning_rate": ("learning rate of SGD", ""),
        "small_learning_rate": ("small learning rate of Adam", ""),
        "large_learning_rate": ("large learning rate of Adam", ""),
        "intervals": ("intervals of \N{GREEK SMALL LETTER ALPHA} from 0 to 1", ""),
        "probe_images": ("fixed training images", ""),
        "directions": ("random directions a solution", ""),
        "rise": ("distance: rise of the loss", "nats"),
        "fall": ("fall of accuracy looked for", ""),
        "seeds": ("seeds, side by side", ""),
        "arms": ("optimizers and stages", ""),
    },
    "hw1_3/sensitivity": {
        "learning_rate": ("learning rate of Adam", ""),
        "steps": ("equal updates", ""),
        "epochs": ("equal passes", ""),
        "target_loss": ("equal training loss", "nats"),
        "most_steps": ("updates to reach it, at most", ""),
        "check_every": ("loss looked at every", "updates"),
        "fixed_images": ("fixed training images", ""),
        "seeds": ("seeds to batch size 500", ""),
        "batch_sizes": ("images a batch", ""),
        "medium_seeds": ("seeds of 501 to 1,000", ""),
        "large_seeds": ("seeds of larger batches", ""),
    },
    "hw1_3/sharpness": {
        "images": ("training images", ""),
        "batch_sizes": ("images a batch", ""),
        "seeds": ("seeds of a batch size", ""),
        "learning_rate": ("learning rate of Adam", ""),
        "stop_loss": ("equal training loss", "nats"),
        "check_every": ("loss looked at every", "updates"),
        "most_steps": ("updates to reach it, at most", ""),
        "epochs": ("equal epochs", ""),
        "wide_box": ("ε of the wide box", ""),
        "narrow_box": ("ε of the narrow box", ""),
        "short_iterations": ("short search, iterations", ""),
        "box_starts": ("long search, random starts", ""),
        "box_iterations": ("long search, iterations at most", ""),
        "box_tolerance": ("long search, last gain, share", ""),
        "lanczos_tolerance": ("residual, of largest eigenvalue", ""),
        "lanczos_products": ("Hessian products, at most", ""),
        "probes": ("vectors of the trace (a check)", ""),
        "rescaling": ("factor of the rescaled twins", ""),
    },
}
VALUES = {
    "relu": "ReLU",
    "sgd": "SGD",
    "adam": "Adam",
    "mnist/adam": "MNIST with Adam",
    "mnist/sgd": "MNIST with momentum",
    "f1/adam": "f1 with Adam",
    "sgd/early": "SGD early",
    "sgd/late": "SGD late",
    "sgd/converged": "SGD converged",
    "adam/converged": "Adam converged",
}
NUMBERED = ("seeds", "stacks")  # lists of which a lone 0 would read as none


def settings_of(found: dict[str, Any]) -> list[list[str]]:
    """Name and value of every setting of a history, in a reader's words."""
    names = NAMES.get(found["experiment"], {})
    rows = []
    for name, value in found["settings"].items():
        words, unit = names.get(name, (short_line(name.replace("_", " ")), ""))
        rows.append([words, f"{numbered(name, value)} {unit}".strip()])
    return rows


def numbered(name: str, value: Any) -> str:
    """`words_of`, where a list names seeds by their numbers."""
    return f"no. {words_of(value)}" if isinstance(value, list) and name.endswith(NUMBERED) else words_of(value)


def words_of(value: Any) -> str:
    """A setting as a reader writes it: 30,000, 0.001, f1 and f2."""
    if isinstance(value, list):
        items = sorted(value) if all(isinstance(item, (int, float)) for item in value) else value
        words = [words_of(item) for item in items]
        return ("; " if any("," in word for word in words) else ", ").join(words)
    if isinstance(value, str):
        return VALUES.get(value, short_line(value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return short_line(str(value))
    factor, _, exponent = (f"{value:,}" if isinstance(value, int) else f"{value:g}").partition("e")
    return f"{factor}e{int(exponent)}".replace("-", MINUS) if exponent else factor
