"""The user's own images: decoding, refusals, and the cache."""

from __future__ import annotations

import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import archive, classes, encoded, folder, noise, picture
from PIL import Image

from evoptim.config import TaskSpec
from evoptim.errors import InputError
from evoptim.tasks import decode, fingerprint, load_task, packed, source
from evoptim.tasks.packed import pack


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOPTIM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def own(data: str, **settings: object) -> TaskSpec:
    return TaskSpec.model_validate({"name": "imagefolder", "data": data, **settings})


def test_a_folder_and_its_zip_give_the_same_split(tmp_path: Path) -> None:
    files = classes(10)
    from_folder = load_task(own(folder(tmp_path / "pets", files)))
    from_zip = load_task(own(archive(tmp_path / "pets.zip", files)))
    assert from_folder.classes == ("cat", "dog")
    assert fingerprint(from_folder) == fingerprint(from_zip)


def test_each_image_keeps_its_label(tmp_path: Path) -> None:
    split = load_task(own(folder(tmp_path / "pets", classes(20))))
    assert [len(part) for part in (split.train, split.validation, split.test)] == [29, 3, 8]
    for part in (split.train, split.validation, split.test):
        # The class is the last decimal digit of the shade.
        assert torch.equal(part.images[:, 0, 0, 0] % 10, part.labels.to(torch.uint8))


def test_parts_of_the_source_are_kept(tmp_path: Path) -> None:
    files = classes(10, prefix="train/") | classes(3, prefix="test/", names=("dog",))
    split = load_task(own(folder(tmp_path / "pets", files), validation=4))
    assert split.test.labels.tolist() == [1, 1, 1]
    assert (len(split.train), len(split.validation)) == (16, 4)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_images_have_one_channel(tmp_path: Path, mode: str) -> None:
    files = {name: picture(255, mode=mode) for name in classes(5)}
    split = load_task(own(folder(tmp_path / "grey", files)))
    assert split.train.images.shape[1:] == (1, 8, 8)
    assert split.train.images.unique().tolist() == [255]


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    deep = encoded(Image.fromarray(np.full((8, 8), 25_700, np.uint16)), "PNG")
    split = load_task(own(folder(tmp_path / "deep", dict.fromkeys(classes(5), deep))))
    assert split.train.images.unique().tolist() == [25_700 // 256]


def test_one_colour_image_makes_all_of_them_colour(tmp_path: Path) -> None:
    files = {name: picture(50, mode="L") for name in classes(10)}
    red = Image.new("RGB", (8, 8), (200, 0, 0))
    split = load_task(
        own(folder(tmp_path / "mixed", {**files, "cat/003.png": encoded(red, "PNG")}))
    )
    images = torch.cat([part.images for part in (split.train, split.validation, split.test)])
    assert images.shape == (20, 3, 8, 8)
    assert sorted(image[:, 0, 0].tolist() for image in images) == [[50] * 3] * 19 + [[200, 0, 0]]


@pytest.mark.parametrize(
    ("suffix", "kind", "mode"),
    [("png", "PNG", "RGBA"), ("jpg", "JPEG", "CMYK"), ("bmp", "BMP", "P"), ("webp", "WEBP", "RGB")],
)
def test_formats_and_modes(tmp_path: Path, suffix: str, kind: str, mode: str) -> None:
    files = {
        f"{name}/{number}.{suffix}": picture(100, mode=mode, kind=kind)
        for name in ("cat", "dog")
        for number in range(5)
    }
    images = load_task(own(folder(tmp_path / "some", files))).train.images.int()
    assert images.shape[1:] == (3, 8, 8)
    # Lossy formats and palettes may be off by a little.
    assert ((images - 100).abs() <= 4).all()


def test_images_are_resized_on_request(tmp_path: Path) -> None:
    files = classes(5) | {"cat/wide.png": picture(7, size=(40, 20))}
    split = load_task(own(folder(tmp_path / "some", files), image_size=12))
    assert split.train.images.shape[1:] == (3, 12, 12)


def test_ten_thousand_classes_are_welcome(tmp_path: Path) -> None:
    one = picture(1)
    files = {
        f"{part}/{number:04}/1.png": one for part in ("train", "test") for number in range(10_000)
    }
    split = load_task(own(archive(tmp_path / "many.zip", files), train=9_000, validation=1_000))
    assert (len(split.classes), len(split.test)) == (10_000, 10_000)
    assert split.test.labels.unique().tolist() == list(range(10_000))


def test_rectangles_are_welcome(tmp_path: Path) -> None:
    files = {name: picture(1, size=(16, 9)) for name in classes(5)}
    assert load_task(own(folder(tmp_path / "some", files))).train.images.shape[1:] == (3, 9, 16)


GOOD = classes(10)
TRUNCATED = noise(0, (32, 32))[:-40]
SIZES = {"train": 2, "validation": 1, "test": 1}


def with_bad_checksum(path: Path) -> str:
    name = archive(path, {**GOOD, "cat/bad.png": b"\x89PNG" + b"A" * 50})
    content = Path(name).read_bytes()
    Path(name).write_bytes(content.replace(b"A" * 50, b"A" * 49 + b"B"))
    return name


def text(path: Path) -> str:
    path.write_text("I am no zip")
    return str(path)


def zip_with(name: str) -> Callable[[Path], str]:
    return lambda path: archive(path, {**GOOD, name: b""})


def encrypted(path: Path) -> str:
    name = archive(path, GOOD)
    content = bytearray(Path(name).read_bytes())
    # Bit 0 of the general-purpose flags in the first entry of the central directory.
    content[content.index(b"PK\x01\x02") + 8] |= 1
    Path(name).write_bytes(bytes(content))
    return name


def twice(path: Path) -> str:
    with zipfile.ZipFile(path, "w") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*GOOD, "cat/000.png"):
            opened.writestr(name, GOOD[name])
    return str(path)


REFUSED = {
    "missing": (str, {}, "no folder or zip of images at"),
    "unusable path": (lambda path: "a\0b", {}, "no folder or zip of images at"),
    "no zip": (text, {}, "neither a folder nor a readable zip"),
    "empty zip": (lambda path: archive(path, {}), {}, "holds no images"),
    "empty folder": (lambda path: folder(path, {}), {}, "holds no images"),
    "no image": (
        lambda path: archive(path, {**GOOD, "dog/bad.png": b"hello"}), {},
        "'dog/bad.png' in the zip .* cannot be decoded",
    ),
    "empty file": (
        lambda path: folder(path, {**GOOD, "dog/bad.png": b""}), {},
        "'dog/bad.png' in the folder .* cannot be decoded",
    ),
    "truncated": (
        lambda path: archive(path, {**GOOD, "dog/bad.png": TRUNCATED}), {},
        "'dog/bad.png' .* cannot be decoded",
    ),
    "not used": (
        lambda path: archive(path, {**GOOD, "dog/bad.png": b"hello"}), SIZES,
        "'dog/bad.png' .* cannot be decoded",
    ),
    "bad checksum": (with_bad_checksum, SIZES, "'cat/bad.png' .* is corrupt .*CRC"),
    "another format": (
        lambda path: folder(path, {**GOOD, "cat/bad.png": picture(kind="GIF")}), {},
        "'cat/bad.png' .* cannot be decoded",
    ),
    "encrypted": (encrypted, {}, "'cat/000.png' .* is encrypted; zip it without a password"),
    "twice": (twice, {}, "holds 'cat/000.png' twice"),
    "up and out": (zip_with("../x/1.png"), {}, "'../x/1.png', a name that points outside of it"),
    "absolute": (zip_with("/etc/1.png"), {}, "'/etc/1.png', a name that points outside of it"),
    "drive": (zip_with("C:/x/1.png"), {}, "'C:/x/1.png', a name that points outside of it"),
    "backslash": (zip_with("a\\..\\1.png"), {}, "a name that points outside of it"),
    "two sizes": (
        lambda path: folder(path, {**GOOD, "cat/a.png": picture(size=(9, 8))}), {},
        "must have one size, but .* set task.image_size",
    ),
    "too small": (
        lambda path: folder(path, {name: picture(size=(7, 8)) for name in GOOD}), {},
        "sides of 8 to 256 pixels, but .* has 7x8; set task.image_size",
    ),
    "too large": (
        lambda path: folder(path, {name: picture(size=(257, 8)) for name in GOOD}), {},
        "sides of 8 to 256 pixels, but .* has 257x8",
    ),
    "too many": (lambda path: folder(path, GOOD), {"train": 99}, "99 training .* only 20 are th"),
    "one image": (lambda path: folder(path, {"a/1.png": picture()}), {}, "one class"),
    "no labels": (
        lambda path: folder(path, {"1.png": picture(), "2.png": picture()}), {},
        "laid out as <class>/<image>.* but holds '1.png'",
    ),
    "two images": (
        lambda path: folder(path, {"a/1.png": picture(), "b/1.png": picture()}), {},
        "1 training \\+ 1 validation \\+ 1 test images, but only 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    make, settings, message = REFUSED[case]
    data = make(tmp_path / "data")
    with pytest.raises(InputError, match=message) as caught:
        load_task(own(data, **settings))
    assert "\n" not in str(caught.value)


def test_the_task_needs_data() -> None:
    with pytest.raises(
        InputError, match=r"'imagefolder' needs task.data: a folder or zip laid out"
    ):
        load_task(TaskSpec(name="imagefolder"))


def test_a_zip_cannot_claim_a_huge_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 2**20)
    for make in (archive, folder):
        data = make(tmp_path / make.__name__, {**GOOD, "cat/bomb.png": bytes(2**20 + 1)})
        with pytest.raises(InputError, match=r"may have 1 MiB, but 'cat/bomb.png' in .* has more"):
            load_task(own(data))


def test_a_small_file_cannot_become_a_huge_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MAX_FILE_PIXELS", 1_000)
    bomb = picture(size=(40, 40))
    data = folder(tmp_path / "data", {**GOOD, "cat/bomb.png": bomb})
    with pytest.raises(InputError, match=r"1000 pixels, but 'cat/bomb.png' .* has 40x40"):
        load_task(own(data, image_size=8))


def test_all_images_together_are_bounded_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MAX_TOTAL_BYTES", 20 * 3 * 64 - 1)
    with pytest.raises(InputError, match=r"20 of 8x8 pixels take .*; lower task.image_size"):
        load_task(own(folder(tmp_path / "data", GOOD)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", GOOD)
    (tmp_path / "data" / "cat" / "003.png").chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        load_task(own(data))


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", GOOD)
    (tmp_path / "data" / "cat" / "again").symlink_to(tmp_path / "data")
    with pytest.raises(InputError, match="must be laid out as"):
        load_task(own(data))


def test_decoding_tells_how_far_it_is(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    data = folder(tmp_path / "data", GOOD)
    load_task(own(data, **SIZES), lambda done, total: seen.append((done, total)))
    assert seen == [(20, 20)]


class TestCache:
    def test_a_second_load_decodes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = own(archive(tmp_path / "pets.zip", GOOD))
        first = fingerprint(load_task(spec))
        monkeypatch.setattr(decode, "_decode", None)
        assert fingerprint(load_task(spec)) == first

    def test_other_sizes_are_another_entry(self, tmp_path: Path) -> None:
        data = archive(tmp_path / "pets.zip", GOOD)
        assert len(load_task(own(data, train=5)).train) == 5
        assert len(load_task(own(data, train=6)).train) == 6

    @pytest.mark.parametrize("make", [folder, archive])
    def test_a_changed_source_is_decoded_again(self, tmp_path: Path, make: object) -> None:
        data = make(tmp_path / "pets", GOOD)  # type: ignore[operator]
        before = load_task(own(data))
        make(tmp_path / "pets", {**GOOD, "cat/000.png": picture(255)})  # type: ignore[operator]
        after = load_task(own(data))
        assert fingerprint(before) != fingerprint(after)

    @pytest.mark.parametrize("file", ["images.npy", "labels.npy", "split.json"])
    @pytest.mark.parametrize("damage", ["missing", "torn", "flipped", "empty"])
    def test_a_damaged_entry_is_built_anew(
        self, tmp_path: Path, cache: Path, file: str, damage: str
    ) -> None:
        spec = own(archive(tmp_path / "pets.zip", GOOD))
        first = fingerprint(load_task(spec))
        (broken,) = cache.glob(f"tasks/*/{file}")
        content = broken.read_bytes()
        if damage == "missing":
            broken.unlink()
        elif damage == "torn":
            broken.write_bytes(content[: len(content) // 2])
        elif damage == "flipped":
            broken.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        else:
            broken.write_bytes(b"")
        assert fingerprint(load_task(spec)) == first
        assert broken.read_bytes() == content

    def test_no_cache_is_no_obstacle(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("EVOPTIM_CACHE_DIR", str(tmp_path / "file" / "cache"))
        assert len(load_task(own(archive(tmp_path / "pets.zip", GOOD))).test) == 4

    def test_nothing_is_left_behind(self, tmp_path: Path, cache: Path) -> None:
        load_task(own(archive(tmp_path / "pets.zip", GOOD)))
        (entry,) = (cache / "tasks").iterdir()
        assert sorted(file.name for file in entry.iterdir()) == [
            "images.npy", "labels.npy", "split.json",
        ]  # fmt: skip


class TestFingerprint:
    def test_the_right_data_load(self, tmp_path: Path) -> None:
        data = archive(tmp_path / "pets.zip", GOOD)
        known = fingerprint(load_task(own(data)))
        moved = archive(tmp_path / "moved.zip", GOOD)
        assert fingerprint(load_task(own(moved, fingerprint=known))) == known

    def test_other_data_are_refused(self, tmp_path: Path) -> None:
        known = fingerprint(load_task(own(archive(tmp_path / "pets.zip", GOOD))))
        other = archive(tmp_path / "other.zip", {**GOOD, "cat/000.png": picture(255)})
        with pytest.raises(InputError, match="are not those that the run began with"):
            load_task(own(other, fingerprint=known))

    def test_it_covers_pixels_labels_names_and_parts(self, tmp_path: Path) -> None:
        data = archive(tmp_path / "pets.zip", GOOD)
        renamed = {name.replace("dog", "emu"): content for name, content in GOOD.items()}
        swapped = {**GOOD, "cat/000.png": GOOD["dog/000.png"], "dog/000.png": GOOD["cat/000.png"]}
        variants = [
            own(data),
            own(data, validation=3),
            own(data, split_seed=1),
            own(data, image_size=9),
            own(archive(tmp_path / "renamed.zip", renamed)),
            own(archive(tmp_path / "swapped.zip", swapped)),
        ]
        assert len({fingerprint(load_task(spec)) for spec in variants}) == len(variants)


class Shelf:
    """Where machines share images, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get(self, fingerprint: str) -> bytes | None:
        return self.kept.get(fingerprint)

    def put(self, fingerprint: str, data: bytes) -> None:
        self.kept.setdefault(fingerprint, data)


class TestSharing:
    def test_the_second_machine_decodes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shelf, spec = Shelf(), own(archive(tmp_path / "pets.zip", GOOD))
        first = load_task(spec, shared=shelf)
        known = spec.model_copy(update={"fingerprint": fingerprint(first)})
        assert list(shelf.kept) == [known.fingerprint]
        monkeypatch.setenv("EVOPTIM_CACHE_DIR", str(tmp_path / "another machine"))
        monkeypatch.setattr(decode, "_decode", None)
        second = load_task(known, shared=shelf)
        assert fingerprint(second) == known.fingerprint
        assert second.classes == first.classes

    @pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"x" * 500, None])
    def test_what_is_damaged_is_decoded_here(self, tmp_path: Path, damage: bytes | None) -> None:
        shelf, spec = Shelf(), own(archive(tmp_path / "pets.zip", GOOD))
        known = spec.model_copy(update={"fingerprint": fingerprint(load_task(spec))})
        # None: sound images, but others.
        other = load_task(own(archive(tmp_path / "pets2.zip", GOOD), train=5))
        shelf.kept[known.fingerprint or ""] = pack(other) or b"" if damage is None else damage
        for entry in (tmp_path / "cache" / "tasks").iterdir():
            shutil.rmtree(entry)
        assert fingerprint(load_task(known, shared=shelf)) == known.fingerprint

    def test_too_many_are_not_shared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packed, "LARGEST_PACKED", 20 * 64 * 3 - 1)
        shelf = Shelf()
        load_task(own(archive(tmp_path / "pets.zip", GOOD)), shared=shelf)
        assert shelf.kept == {}
