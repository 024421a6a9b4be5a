"""From the names in a folder or zip to classes and parts."""

from __future__ import annotations

import pytest

from evoptim.errors import InputError
from evoptim.tasks.listing import Listing, list_images
from evoptim.tasks.partition import Parts


def listed(*files: str, folders: tuple[str, ...] = ()) -> Listing:
    return list_images("the zip 'x.zip'", files, folders)


def test_classes_are_folders_in_alphabetical_order() -> None:
    assert listed("dog/1.png", "cat/2.jpg", "cat/1.JPEG") == Listing(
        classes=("cat", "dog"),
        names=("cat/1.JPEG", "cat/2.jpg", "dog/1.png"),
        labels=(0, 0, 1),
        parts=Parts(train=(0, 1, 2)),
    )


def test_parts_are_folders_around_the_classes() -> None:
    found = listed("train/cat/1.png", "train/dog/1.png", "val/dog/7.png", "test/cat/9.png")
    assert found.classes == ("cat", "dog")
    assert found.names == ("test/cat/9.png", "train/cat/1.png", "train/dog/1.png", "val/dog/7.png")
    assert found.labels == (0, 0, 1, 1)
    assert found.parts == Parts(train=(1, 2), validation=(3,), test=(0,))


def test_a_folder_that_wraps_everything_is_looked_through() -> None:
    found = listed("my data/v1/train/cat/1.png", "my data/v1/train/dog/1.png")
    assert found.classes == ("cat", "dog")
    assert found.parts == Parts(train=(0, 1))


def test_what_is_no_image_is_ignored() -> None:
    found = listed(
        "cat/1.png", "dog/1.png", "readme.txt", "cat/labels.csv", ".DS_Store", "cat/.hidden.png",
        "__MACOSX/cat/._1.png", folders=("cat", "dog", "__MACOSX", ".git"),
    )  # fmt: skip
    assert found.names == ("cat/1.png", "dog/1.png")


REFUSED = {
    "nothing": ((), (), "holds no images .*laid out as <class>/<image>"),
    "no images": (("readme.md", "cat/1.gif"), (), "holds no images"),
    "one class": (("cat/1.png", "cat/2.png"), (), "one class, 'cat', but .* two or more"),
    "one class to train": (("train/cat/1.png", "test/cat/2.png"), (), "one class, 'cat'"),
    "empty class": (("cat/1.png", "dog/1.png"), ("cat", "dog", "emu"), "'emu' .* has no images"),
    "empty class in part": (
        ("train/cat/1.png", "train/dog/1.png"), ("train/emu",), "class 'emu' .* has no images",
    ),
    "class only to test": (
        ("train/cat/1.png", "train/dog/1.png", "test/emu/1.png"), (), "class 'emu' .* to train on",
    ),
    "outside of a class": (("cat/1.png", "dog/1.png", "1.png"), (), "laid out .* holds '1.png'"),
    "too deep": (("cat/1.png", "dog/big/1.png"), (), "holds 'dog/big/1.png'"),
    "beside the parts": (("train/cat/1.png", "extra/dog/1.png"), (), "holds 'extra/dog/1.png'"),
    "only a test part": (("test/cat/1.png", "test/dog/1.png"), (), "holds 'test/cat/1.png'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_other_layouts_are_refused_with_the_culprit(case: str) -> None:
    files, folders, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        listed(*files, folders=folders)
    assert "\n" not in str(caught.value)
