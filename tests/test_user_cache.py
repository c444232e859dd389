"""The user's cache folder: private, whole, and of no use to anybody who would plant something in it."""

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from engines import user_cache
from engines.user_cache import CacheError

KEY = {"onnx": "ab" * 32, "gpu": "some"}
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bits")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hypothesis-stream" / "engines"


def test_what_is_kept_is_found_under_its_key_alone(folder: Path) -> None:
    assert user_cache.read("engines", KEY) is None
    user_cache.write("engines", KEY, b"\x00engine\n\xff")
    assert user_cache.read("engines", KEY) == b"\x00engine\n\xff"
    for other in ({**KEY, "gpu": "another"}, {"onnx": KEY["onnx"]}, {**KEY, "driver": "1"}):
        assert user_cache.read("engines", other) is None
    user_cache.write("engines", KEY, b"newer")
    assert user_cache.read("engines", KEY) == b"newer"
    assert [p.name for p in folder.iterdir()] == [user_cache.key_name(KEY)], "nothing half written is left"


@posix
def test_only_the_owner_may_read(folder: Path) -> None:
    before = os.umask(0)
    try:
        user_cache.write("engines", KEY, b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / user_cache.key_name(KEY)).stat().st_mode) == 0o600


def test_a_flipped_bit_or_a_file_of_another_key_is_as_good_as_none(folder: Path) -> None:
    user_cache.write("engines", KEY, b"native code")
    path = folder / user_cache.key_name(KEY)
    whole = path.read_bytes()
    for k in range(len(whole)):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        assert user_cache.read("engines", KEY) is None, f"byte {k}"
    path.write_bytes(whole[:-1])
    assert user_cache.read("engines", KEY) is None
    path.write_bytes(b"")
    assert user_cache.read("engines", KEY) is None
    other = {**KEY, "gpu": "another"}
    (folder / user_cache.key_name(other)).write_bytes(whole)
    assert user_cache.read("engines", other) is None


@posix
@pytest.mark.parametrize("mode", [0o660, 0o606])
def test_a_file_that_others_can_write_is_refused(folder: Path, mode: int) -> None:
    user_cache.write("engines", KEY, b"x")
    (folder / user_cache.key_name(KEY)).chmod(mode)
    with pytest.raises(CacheError, match="can be written by others and is not used; chmod go-w it, or remove it"):
        user_cache.read("engines", KEY)


@posix
@pytest.mark.parametrize("mode", [0o770, 0o777])
def test_a_folder_that_others_can_write_is_refused(folder: Path, mode: int) -> None:
    user_cache.write("engines", KEY, b"x")
    folder.chmod(mode)
    with pytest.raises(CacheError, match="can be written by others"):
        user_cache.read("engines", KEY)
    with pytest.raises(CacheError, match="can be written by others"):
        user_cache.write("engines", KEY, b"y")


@posix
def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    user_cache.write("engines", KEY, b"x")
    path = folder / user_cache.key_name(KEY)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match="cannot read from"):
        user_cache.read("engines", KEY)
    path.unlink()
    folder.rename(tmp_path / "other")
    folder.symlink_to(tmp_path / "other")
    with pytest.raises(CacheError, match="is a link"):
        user_cache.read("engines", KEY)


@posix
def test_what_belongs_to_somebody_else_is_refused(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    user_cache.write("engines", KEY, b"x")
    path = folder / user_cache.key_name(KEY)
    os.chown(path, 12345, -1)
    with pytest.raises(CacheError, match="belongs to another user"):
        user_cache.read("engines", KEY)
    os.chown(path, 0, -1)
    os.chown(folder, 12345, -1)
    with pytest.raises(CacheError, match="belongs to another user"):
        user_cache.read("engines", KEY)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    for attempt in (lambda: user_cache.write("engines", KEY, b"x"), lambda: user_cache.read("engines", KEY)):
        with pytest.raises(CacheError, match="cannot (write to|read from)") as caught:
            attempt()
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_cache.write("engines", KEY, b"old")
    real = os.fdopen

    def full(handle: int, *arguments: Any) -> Any:
        device = os.open("/dev/full", os.O_WRONLY)
        os.dup2(device, handle)
        os.close(device)
        return real(handle, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdopen", full)
        with pytest.raises(CacheError, match="No space left"):
            user_cache.write("engines", KEY, bytes(1 << 20))
    assert user_cache.read("engines", KEY) == b"old"
    assert len(list(folder.iterdir())) == 1


def test_the_folder_is_where_the_system_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData"))
    for system, place in (("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData")):
        monkeypatch.setattr(sys, "platform", system)
        assert user_cache.folder() == tmp_path / place / "hypothesis-stream"
