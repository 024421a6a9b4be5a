"""From the names in a folder or zip to classes and labels: a pure function, before any decoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from evoptim.errors import InputError
from evoptim.tasks.partition import Parts

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
LAYOUT = "<class>/<image>, or train/<class>/<image> beside test/<class>/<image>"

Part = Literal["train", "validation", "test"]
_PARTS: dict[str, Part] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Listing:
    """The images of a source, sorted by name."""

    classes: tuple[str, ...]
    """Sorted names of the class folders."""
    names: tuple[str, ...]
    """Names of the images within the source."""
    labels: tuple[int, ...]
    """Index into ``classes`` of each image."""
    parts: Parts
    """Indices into ``names``."""


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image: by its suffix, unless it is hidden."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a path is an operating system's own, such as ``__MACOSX/cat/._1.jpg``."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def list_images(source: str, files: Iterable[str], folders: Iterable[str]) -> Listing:
    """Read classes and parts off the names.

    Args:
        source: how to call the folder or zip in an error.
        files: "/"-separated names within the source; those that are no images are ignored.
        folders: names of its folders, which reveal a class without images.

    Raises:
        InputError: no images, fewer than two classes, a class without images, or a layout other
            than :data:`LAYOUT`.
    """
    names = sorted(name for name in files if is_image(name))
    if not names:
        raise InputError(
            f"{source} holds no images ({', '.join(IMAGE_SUFFIXES)}); it must be laid out as "
            f"{LAYOUT}"
        )
    root = _common_root([name.split("/") for name in names])
    paths = [name.split("/")[len(root) :] for name in names]
    inner_folders = [
        folder.split("/")[len(root) :]
        for folder in folders
        if folder.split("/")[: len(root)] == root and not is_hidden(folder)
    ]
    in_parts = any(path[0] == "train" and len(path) > 2 for path in paths)
    placed = [_place(source, path, in_parts) for path in paths]
    classes = _classes(source, placed, inner_folders, in_parts)
    label_of = {name: label for label, name in enumerate(classes)}
    return Listing(
        classes=classes,
        names=tuple(names),
        labels=tuple(label_of[class_name] for _, class_name in placed),
        parts=Parts(
            train=_indices(placed, "train"),
            validation=_indices(placed, "validation"),
            test=_indices(placed, "test"),
        ),
    )


def _common_root(paths: Sequence[Sequence[str]]) -> list[str]:
    """The folders that wrap everything: zipping a folder usually adds one."""
    root: list[str] = []
    while True:
        depth = len(root)
        first = paths[0][depth]
        wraps = all(len(path) > depth + 2 and path[depth] == first for path in paths)
        if not wraps or first in _PARTS:
            return root
        root.append(first)


def _place(source: str, path: Sequence[str], in_parts: bool) -> tuple[Part, str]:
    if in_parts and len(path) == 3 and path[0] in _PARTS:
        return _PARTS[path[0]], path[1]
    if not in_parts and len(path) == 2:
        return "train", path[0]
    raise InputError(
        f"{source} must be laid out as {LAYOUT}, but holds {'/'.join(path)!r}; move that image"
    )


def _classes(
    source: str,
    placed: Sequence[tuple[Part, str]],
    folders: Sequence[Sequence[str]],
    in_parts: bool,
) -> tuple[str, ...]:
    trained = {name for part, name in placed if part == "train"}
    if in_parts:
        declared = {path[1] for path in folders if len(path) == 2 and path[0] == "train"}
    else:
        declared = {path[0] for path in folders if len(path) == 1}
    every = {name for _, name in placed} | declared
    for name in sorted(every - trained):
        raise InputError(
            f"class {name!r} of {source} has no images to train on; add some, or remove its folder"
        )
    if len(trained) < 2:
        raise InputError(
            f"{source} has one class, {next(iter(trained))!r}, but a classifier needs two or more; "
            f"lay it out as {LAYOUT}"
        )
    return tuple(sorted(trained))


def _indices(placed: Sequence[tuple[Part, str]], wanted: Part) -> tuple[int, ...]:
    return tuple(index for index, (part, _) in enumerate(placed) if part == wanted)
