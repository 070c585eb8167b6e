"""Ten kinds of drawn shapes, 32 x 32 in colour: the quick scale's stand-in for CIFAR-10, made here in a second.

Each picture shows one shape at a random place, size and turn, lighter or darker than what is behind it: a slanted
colour gradient with coarse patches and fine noise. As the contrast changes sign, no fixed weight for a pixel tells
the kinds apart (a linear classifier gets a quarter right), while edge detectors do: small CNNs need a few passes.

The same bytes on every machine: NumPy's raw bit stream, which its versions keep, and only operations that IEEE 754
rounds exactly (+ - * / sqrt, comparisons): no sine, no matrix product.
"""

import numpy as np

SIZE = 32  # pixels a side, as CIFAR-10
SEED = 2018
# How hard it is: set so that the shallow CNN needs about five epochs of 4,000 pictures and the deep one two.
RADIUS = (8.5, 13.0)  # pixels
SHIFT = 2.5  # pixels from the middle, each way
TURN = 0.12  # tangent of half the largest angle: 14 degrees
CONTRAST = (0.2, 0.5)  # of the shape to the background, each channel, in [0, 1]
PATCHES, NOISE = 0.08, 0.1  # largest deviation of a 4 x 4 patch and of a pixel


def make(train: int, test: int) -> dict[str, np.ndarray]:
    """Two sets of pictures with equally many of each kind; `train` and `test` are multiples of 10.

    x_train: (train, 32, 32, 3) uint8, y_train: (train,) uint8, the index in SHAPES; likewise x_test and y_test.
    """
    bits = np.random.PCG64(SEED)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        labels = (shuffled(count, bits) % len(SHAPES)).astype(np.uint8)
        arrays[f"x_{part}"] = _draw(labels, bits)
        arrays[f"y_{part}"] = labels
    return arrays


def shuffled(count: int, bits: np.random.PCG64) -> np.ndarray:
    """The numbers 0 to count - 1 in random order, the same order in every version of NumPy."""
    return np.argsort(bits.random_raw(count), kind="stable")


def _draw(labels: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
    """Pictures of the kinds in `labels`: (n, 32, 32, 3) uint8."""
    count = len(labels)

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        raw = bits.random_raw(count * int(np.prod(shape))).reshape(count, *shape)
        share = (raw >> np.uint64(40)).astype(np.float32) * 2**-24  # exact, in [0, 1)
        return low + (high - low) * share  # float32, as NumPy lets an array decide

    # 1. each pixel in the shape's own coordinates: moved, turned, and scaled so that the shape has radius 1
    radius = uniform(*RADIUS, 1, 1)
    tangent = uniform(-TURN, TURN, 1, 1)  # of half the angle: gives sine and cosine by division alone
    cosine = (1 - tangent * tangent) / (1 + tangent * tangent)
    sine = 2 * tangent / (1 + tangent * tangent)
    places = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    across = (places[None, None, :] - uniform(-SHIFT, SHIFT, 1, 1)) / radius
    down = (places[None, :, None] - uniform(-SHIFT, SHIFT, 1, 1)) / radius
    x = cosine * across + sine * down
    y = cosine * down - sine * across

    # 2. the share of each pixel that the shape covers, from the pixel's distance to the edge
    covered = np.empty((count, SIZE, SIZE), np.float32)
    for kind, edge_distance in enumerate(SHAPES.values()):
        chosen = labels == kind
        covered[chosen] = np.clip(0.5 - edge_distance(x[chosen], y[chosen]) * radius[chosen], 0, 1)

    # 3. behind the shape a gradient and patches; on it one colour, lighter or darker in all three channels
    behind = uniform(0.3, 0.7, 1, 1, 3)
    sign = np.sign(uniform(-1, 1, 1, 1, 1))
    colour = behind + sign * uniform(*CONTRAST, 1, 1, 3)
    patches = uniform(-PATCHES, PATCHES, SIZE // 4, SIZE // 4, 3)
    picture = behind + patches.repeat(4, axis=1).repeat(4, axis=2)
    picture += places[:, None, None] * uniform(-0.005, 0.005, 1, 1, 3)
    picture += places[None, :, None] * uniform(-0.005, 0.005, 1, 1, 3)
    picture += covered[..., None] * (colour - picture)
    picture += uniform(-NOISE, NOISE, SIZE, SIZE, 3)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the five half-planes of a pentagram, a place inside the star lies in at least four."""
    right = ((0.9510565, 0.309017), (0.5877853, -0.809017))  # sine and cosine of 72 and 144 degrees
    directions = ((0, 1), *right, *((-across, down) for across, down in right))
    planes = [np.float32(across) * x + np.float32(down) * y - 0.36 for across, down in directions]
    return np.sort(np.stack(planes), axis=0)[3]


# Signed distance to the edge of a shape of about radius 1, negative inside. x to the right, y down, any equal shapes.
SHAPES = {
    "disc": lambda x, y: _length(x, y) - 0.95,
    "ring": lambda x, y: np.abs(_length(x, y) - 0.75) - 0.2,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.8,
    "frame": lambda x, y: np.abs(np.maximum(np.abs(x), np.abs(y)) - 0.65) - 0.2,
    "triangle": lambda x, y: np.maximum(0.8660254 * np.abs(x) - 0.5 * y, y) - 0.55,
    "cross": lambda x, y: np.maximum(np.maximum(np.abs(x), np.abs(y)) - 0.95, np.minimum(np.abs(x), np.abs(y)) - 0.25),
    "star": _star,
    "crescent": lambda x, y: np.maximum(_length(x, y) - 0.95, 0.75 - _length(x - 0.5, y)),
    "bar": lambda x, y: np.maximum(np.abs(x) - 1, np.abs(y) - 0.3),
    "pair of dots": lambda x, y: _length(np.abs(x) - 0.6, y) - 0.38,
}
