"""Decoded images on a real S3 server: of the machines that train for a run, one decodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_run
from image_files import archive, noise

from evoptim import steps
from evoptim.cache import CACHE_VARIABLE
from evoptim.records import Evaluation, Outcome
from evoptim.steps.reading import read_config
from evoptim.store import Stage, load, open_store
from evoptim.store.layout import evaluation_key, images_key
from evoptim.tasks import decode


def test_a_machine_with_an_empty_cache_trains_without_decoding(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {f"{kind}/{n}.png": noise(n) for kind in ("cat", "dog") for n in range(60)}
    task = {
        "name": "imagefolder",
        "data": archive(tmp_path / "pets.zip", pictures),
        "train": 40,
        "validation": 40,
        "test": 40,
    }
    config = tiny_run.tiny_config(protocol__task=task)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "first machine"))
    steps.initialise(s3_url, "tiny", config.model_dump_json())
    steps.propose(s3_url, "tiny", 0, 1)

    store = open_store(s3_url)
    fingerprint = read_config(store, "tiny").protocol.task.fingerprint
    assert list(store.list("images/")) == [images_key(fingerprint or "")]
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "second machine"))
    monkeypatch.setattr(decode, "_decode", None)
    steps.evaluate(s3_url, "tiny", 0, 0, 1)
    evaluation = load(store, evaluation_key("tiny", Stage.generation(0), 0), Evaluation)
    assert evaluation.outcome is not Outcome.ERRORED


def test_a_store_in_a_folder_holds_no_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {f"{kind}/{n}.png": noise(n) for kind in ("cat", "dog") for n in range(10)}
    task = {
        "name": "imagefolder",
        "data": archive(tmp_path / "pets.zip", pictures),
        "train": 10,
        "validation": 5,
        "test": 5,
    }
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    tiny_run.start(tmp_path / "store", protocol__task=task)
    assert not (tmp_path / "store" / "images").exists()
