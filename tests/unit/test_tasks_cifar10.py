"""CIFAR-10: torchvision's copy, and a zip of its images."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import archive, classes

from evoptim.config import TaskSpec
from evoptim.errors import InputError
from evoptim.tasks import fingerprint, load_task

CLASSES = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOPTIM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class TestFolderOrZip:
    def test_ten_classes_are_needed(self, tmp_path: Path) -> None:
        data = archive(tmp_path / "x.zip", classes(5))
        with pytest.raises(InputError, match=r"10 classes, but .* has 2; choose the task 'imagef"):
            load_task(TaskSpec(name="cifar10", data=data))

    def test_its_images_are_shuffled(self, tmp_path: Path) -> None:
        files = classes(20, CLASSES, "train/") | classes(2, CLASSES, "test/")
        data = archive(tmp_path / "x.zip", files)
        split = load_task(TaskSpec(name="cifar10", data=data))
        assert [len(part) for part in (split.train, split.validation, split.test)] == [180, 20, 20]
        assert split.validation.labels.bincount().tolist() == [2] * 10
        assert (split.train.labels.diff() != 0).sum() > 100

    @pytest.mark.skipif(
        "EVOPTIM_DATA_DIR" not in os.environ, reason="EVOPTIM_DATA_DIR names no folder of data sets"
    )
    def test_the_whole_of_it_as_a_zip(self) -> None:
        data = Path(os.environ["EVOPTIM_DATA_DIR"]) / "cifar10-images.zip"
        spec = TaskSpec(name="cifar10", data=str(data), train=500, validation=200, test=100)
        split = load_task(spec)
        assert list(split.classes) == CLASSES
        assert split.train.images.shape == (500, 3, 32, 32)
        assert split.validation.labels.bincount().tolist() == [20] * 10
        assert split.test.labels.bincount().tolist() == [10] * 10
        # Means of natural images lie in the middle; CIFAR-10's are 125, 123 and 114.
        means = split.train.images.double().mean((0, 2, 3))
        assert torch.allclose(means, torch.tensor([125.3, 123.0, 113.9]).double(), atol=6)


class TestWithoutTorchvision:
    def test_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torchvision", None)
        monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
        with pytest.raises(InputError, match=r"pip install 'evoptim\[vision\]', or pass task.data"):
            load_task(TaskSpec(name="cifar10"))


class TestTorchvision:
    """Torchvision's own class, reading a copy in its own format with 10 images a batch."""

    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        cifar = _cifar_class()
        folder = tmp_path / "downloads" / cifar.base_folder
        folder.mkdir(parents=True)
        for attribute, offset in (("train_list", 0), ("test_list", 50)):
            sums = []
            for number, (name, _) in enumerate(getattr(cifar, attribute)):
                first = offset + 10 * number
                sums.append([name, _write(folder / name, _batch(first))])
            monkeypatch.setattr(cifar, attribute, sums)
        digest = _write(folder / cifar.meta["filename"], {"label_names": CLASSES})
        monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": digest})
        return folder.parent

    def test_it_keeps_the_order(self, root: Path) -> None:
        split = load_task(TaskSpec(name="cifar10", data=str(root)))
        # Image k has shade k in its red channel.
        assert split.train.images[:, 0, 0, 0].tolist() == list(range(45))
        assert split.validation.images[:, 0, 0, 0].tolist() == list(range(45, 50))
        assert split.test.images[:, 0, 0, 0].tolist() == list(range(50, 60))
        assert split.train.labels.tolist() == [k % 10 for k in range(45)]
        assert list(split.classes) == CLASSES
        assert split.train.images[3, :, 31, 31].tolist() == [3, 103, 203]

    def test_the_inner_folder_and_the_cache_do_as_well(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = load_task(TaskSpec(name="cifar10", data=str(root)))
        inner = TaskSpec(name="cifar10", data=str(root / "cifar-10-batches-py"))
        monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
        assert fingerprint(load_task(inner)) == fingerprint(first)

    def test_limits_and_size(self, root: Path) -> None:
        spec = TaskSpec(
            name="cifar10", data=str(root), train=8, validation=4, test=2, image_size=16
        )
        split = load_task(spec)
        assert split.train.images.shape == (8, 3, 16, 16)
        assert split.validation.images[:, 0, 0, 0].tolist() == [46, 47, 48, 49]
        assert split.test.labels.tolist() == [0, 1]

    def test_a_damaged_copy_is_refused(self, root: Path) -> None:
        (root / "cifar-10-batches-py" / "data_batch_2").write_bytes(b"torn")
        with pytest.raises(InputError, match=r"cannot be read in .* or pass task.data"):
            load_task(TaskSpec(name="cifar10", data=str(root)))

    def test_without_data_it_is_downloaded_once(
        self, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(self: Any) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr(_cifar_class(), "download", unreachable)
        with pytest.raises(InputError, match=r"cannot be downloaded in .*\(no route to host\)"):
            load_task(TaskSpec(name="cifar10"))
        cache.mkdir(exist_ok=True)
        root.rename(cache / "cifar10")
        assert len(load_task(TaskSpec(name="cifar10")).train) == 45


def _cifar_class() -> Any:
    try:
        from torchvision.datasets import CIFAR10
    except (ImportError, RuntimeError) as error:
        # Beside another build of torch it is there, but cannot be imported.
        pytest.skip(f"torchvision cannot be imported: {error}")
    return CIFAR10


def _batch(first: int) -> dict[str, Any]:
    red = np.arange(first, first + 10, dtype=np.uint8)[:, None].repeat(1024, 1)
    return {
        "data": np.concatenate([red, red + 100, red + 200], 1),
        "labels": [k % 10 for k in range(10)],
    }


def _write(path: Path, content: dict[str, Any]) -> str:
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()
