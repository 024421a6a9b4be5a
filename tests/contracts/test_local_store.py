"""What a folder adds to the contract: crashes, leftovers, and file systems that refuse."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import store_process

from evoptim.errors import InfrastructureError, InputError
from evoptim.store import check_writable, open_store
from evoptim.store.local import LocalStore

NOBODY = 65534


class TestCrashes:
    def test_kill_9_leaves_whole_objects_or_none(self, tmp_path: Path) -> None:
        size, draw, seen = 3_000_000, random.Random(5), 0
        for place in range(6):
            url = str(tmp_path / str(place))
            process = subprocess.Popen(
                [sys.executable, store_process.__file__, "pour", url, str(size)],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            assert process.stdout
            process.stdout.readline()
            time.sleep(draw.uniform(0.0, 0.15))
            process.kill()
            process.communicate()
            store = open_store(url)
            for key in store.list():
                seen += 1
                assert store.get(key) == store_process.content_of(key, size)
        assert seen, "no object was written before a kill: the test shows nothing"

    def test_a_process_killed_in_the_middle_of_a_put_leaves_nothing_to_see(
        self, tmp_path: Path
    ) -> None:
        program = (
            "import os, signal, sys; from evoptim.store import open_store\n"
            "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
            "open_store(sys.argv[1]).put('object', b'x' * 100)\n"
        )
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        leftovers = list(tmp_path.iterdir())
        assert len(leftovers) == 1, "the process must have died with its temporary file there"
        store = open_store(str(tmp_path))
        assert list(store.list()) == []
        assert not store.exists("object")
        assert store.put("object", b"whole")
        assert store.get("object") == b"whole"

    def test_no_temporary_file_stays_behind(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        store.put("a", b"1")
        store.put("a", b"2")
        assert not check_leftovers(tmp_path)
        # Past the look before the write, as in a race that was lost:
        assert not LocalStore(tmp_path)._write("a", b"3")
        assert not check_leftovers(tmp_path)

    def test_a_link_whose_answer_was_lost_counts_as_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = os.link

        def forgetful(source: Any, target: Any) -> None:
            link(source, target)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

        monkeypatch.setattr(os, "link", forgetful)
        store = open_store(str(tmp_path))
        assert store.put("a", b"1")
        assert store.get("a") == b"1"


class TestFolders:
    def test_its_url_is_absolute_and_survives_a_change_of_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        store = open_store("here/store")
        store.put("a", b"1")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert store.url == str(tmp_path / "here" / "store")
        assert open_store(store.url).get("a") == b"1"

    def test_opening_and_reading_make_no_folder(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path / "store"))
        assert not store.exists("a")
        assert list(store.list()) == []
        assert not (tmp_path / "store").exists()

    def test_home_is_understood(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert open_store("~/store").url == str(tmp_path / "store")
        with pytest.raises(InputError, match="the home of a user that exists"):
            open_store("~no-such-user-here/store")

    def test_objects_are_plain_files_that_others_may_read(self, tmp_path: Path) -> None:
        before = os.umask(0o022)
        try:
            open_store(str(tmp_path)).put("a/b.json", b"{}")
        finally:
            os.umask(before)
        path = tmp_path / "a" / "b.json"
        assert path.read_bytes() == b"{}"
        assert path.stat().st_mode & 0o777 == 0o644

    def test_files_that_are_no_objects_are_not_listed(self, tmp_path: Path) -> None:
        (tmp_path / "my notes.txt").write_text("x")
        (tmp_path / "a~").write_text("x")
        (tmp_path / "b c").mkdir()
        (tmp_path / "b c" / "d").write_text("x")
        store = open_store(str(tmp_path))
        store.put("a", b"1")
        assert list(store.list()) == ["a"]

    def test_a_run_on_another_disk_is_reached_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "runs").symlink_to(tmp_path / "disk")
        store = open_store(str(tmp_path / "store"))
        store.put("runs/a", b"1")
        assert (tmp_path / "disk" / "a").read_bytes() == b"1"
        assert list(store.list()) == ["runs/a"]


class TestRefusals:
    def test_a_file_is_no_store(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("x")
        with pytest.raises(InputError) as caught:
            open_store(str(file))
        assert str(caught.value) == (
            f"a store must be a folder, but {file} is none; remove it or choose another store"
        )

    def test_a_file_above_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(InputError, match=r"must be a folder, but .*/file is none"):
            check_writable(open_store(str(tmp_path / "file" / "store")))

    def test_a_link_to_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(InputError, match=r"must be a folder, but .*/link is none"):
            check_writable(open_store(str(tmp_path / "link")))

    def test_a_file_where_an_object_needs_a_folder(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        store.put("a", b"1")
        with pytest.raises(InputError, match=r"must be a folder, but .*/a is none"):
            store.put("a/b", b"2")

    def test_a_folder_where_an_object_must_go(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        store.put("a/b", b"1")
        with pytest.raises(InputError, match=r"must be a file, but .*/a is a folder"):
            store.put("a", b"2")
        assert not check_leftovers(tmp_path)

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a /proc, as on Linux")
    def test_a_folder_that_cannot_be_made(self) -> None:
        with pytest.raises(
            InputError, match=r"the store folder /proc/evoptim must be one that can"
        ):
            check_writable(open_store("/proc/evoptim"))

    def test_a_read_only_folder(self, unprivileged: Path) -> None:
        unprivileged.chmod(0o555)
        with become_nobody(), pytest.raises(InputError, match="Permission denied") as caught:
            check_writable(open_store(str(unprivileged)))
        assert str(unprivileged) in str(caught.value)
        assert "choose another store" in str(caught.value)

    def test_a_folder_that_became_read_only_after_an_earlier_check(
        self, unprivileged: Path
    ) -> None:
        check_writable(open_store(str(unprivileged)))
        (unprivileged / ".evoptim").chmod(0o555)
        with become_nobody(), pytest.raises(InputError, match="Permission denied"):
            check_writable(open_store(str(unprivileged)))

    def test_a_folder_that_may_not_be_entered(self, unprivileged: Path) -> None:
        open_store(str(unprivileged)).put("a/b", b"1")
        (unprivileged / "a").chmod(0o000)
        with become_nobody():
            store = open_store(str(unprivileged))
            with pytest.raises(InputError, match="Permission denied"):
                store.get("a/b")
            with pytest.raises(InputError, match="Permission denied"):
                list(store.list())

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_is_no_mistake_of_the_user_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def full(_: int) -> None:
            raise OSError(number, os.strerror(number))

        store = open_store(str(tmp_path))
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(InfrastructureError, match=f"{tmp_path} needs free space"):
            store.put("a", b"1")
        monkeypatch.undo()
        assert list(tmp_path.iterdir()) == []
        assert store.put("a", b"1")

    def test_a_broken_disk_is_no_mistake_of_the_user(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(InfrastructureError, match="check the disk"):
            open_store(str(tmp_path)).put("a", b"1")


def check_leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if "~" in path.name]


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder below others that everybody may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *(p for p in folder.iterdir() if p.is_dir())]:
        path.chmod(0o755)
    shutil.rmtree(folder)


class become_nobody:
    """While it lasts, permissions count even where the tests run as root."""

    def __enter__(self) -> None:
        self.before = os.geteuid()
        if self.before == 0:
            os.seteuid(NOBODY)

    def __exit__(self, *_: object) -> None:
        os.seteuid(self.before)
