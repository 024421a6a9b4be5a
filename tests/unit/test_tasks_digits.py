"""scikit-learn's digits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as bundled

from evoptim.config import TaskSpec
from evoptim.errors import InputError
from evoptim.tasks import load_task


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOPTIM_CACHE_DIR", str(tmp_path / "cache"))


def test_all_of_them_are_there_as_bytes() -> None:
    split = load_task(TaskSpec())
    parts = (split.train, split.validation, split.test)
    # A fifth of 1,797 tests, a tenth of the other 1,438 validates.
    assert [len(part) for part in parts] == [1294, 144, 359]
    assert split.classes == tuple("0123456789")
    assert split.train.images.shape == (1294, 1, 8, 8)
    pixels = np.concatenate([part.images.numpy().reshape(-1, 64) for part in parts])
    labels = np.concatenate([part.labels.numpy() for part in parts])
    original, original_labels = bundled(return_X_y=True)
    ours = sorted(zip((pixels / 255 * 16).round().tolist(), labels.tolist(), strict=True))
    assert ours == sorted(zip(original.tolist(), original_labels.tolist(), strict=True))


def test_they_can_be_enlarged() -> None:
    split = load_task(TaskSpec(image_size=16, train=10, validation=10, test=10))
    assert split.train.images.shape == (10, 1, 16, 16)


def test_a_second_process_need_not_import_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_task(TaskSpec(train=10))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert torch.equal(load_task(TaskSpec(train=10)).train.images, first.train.images)
    with pytest.raises(InputError, match="needs scikit-learn: pip install scikit-learn"):
        load_task(TaskSpec(train=11))


def test_they_take_no_data() -> None:
    with pytest.raises(InputError, match="brings its own images, got data = 'x'; leave it out"):
        load_task(TaskSpec(data="x"))
