"""Files are whole or absent: atomic writes, checksums, locks."""

import os
import subprocess
import sys
import time

from common import files

import pytest
from conftest import ROOT


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "history.pkl"
    files.write_atomically(path, b"old")

    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    for failing in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, failing, refuse)
            with pytest.raises(OSError, match="No space"):
                files.write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(path.parent.iterdir()) == [path]
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_temporaries_of_killed_processes_go_after_an_hour(tmp_path):
    path = tmp_path / "history.pkl"
    old, fresh, foreign = (tmp_path / name for name in (".history.pkl.1.tmp", ".history.pkl.2.tmp", ".other.pkl.1.tmp"))
    for each in (old, fresh, foreign):
        each.write_bytes(b"part")
    for each in (old, foreign):
        os.utime(each, (time.time() - 2 * files.STALE_SECONDS,) * 2)
    files.write_atomically(path, b"content")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([path.name, fresh.name, foreign.name])


@pytest.mark.parametrize("content", [b"", b"a", b"sha256:", bytes(range(256)), b"\nsha256:" * 9])
def test_the_checksum_covers_every_byte(content):
    whole = files.with_checksum(content)
    assert files.checked(whole) == content
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="checksum"):
            files.checked(whole[:length])
    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 1
        with pytest.raises(ValueError, match="checksum"):
            files.checked(bytes(altered))
    with pytest.raises(ValueError, match="checksum"):
        files.checked(whole + b"\n")


def test_who_waits_for_a_lock_says_so(tmp_path, capsys):
    path = tmp_path / "history.pkl"
    with files.locked(path, "waiting for it"):
        assert capsys.readouterr().err == ""
    code = (
        "import sys, time; from pathlib import Path; from common import files\n"
        "with files.locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(1)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with files.locked(path, "waiting for it"):
            assert holder.wait() == 0
    assert capsys.readouterr().err == "waiting for it\n"
