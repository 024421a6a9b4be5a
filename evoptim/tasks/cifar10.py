"""CIFAR-10: 60,000 colour images of 32 x 32 pixels, 10 classes, 10,000 of them for testing.

Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evoptim.cache import cache_directory
from evoptim.config import TaskSpec
from evoptim.errors import InputError
from evoptim.tasks.assemble import assemble
from evoptim.tasks.cache import cached_split
from evoptim.tasks.dataset import Split
from evoptim.tasks.decode import Progress, resize_images
from evoptim.tasks.imagefolder import load_imagefolder
from evoptim.tasks.packed import SharedImages
from evoptim.tasks.partition import ordered_partition

BATCHES = "cifar-10-batches-py"
"""The folder that torchvision keeps its copy in."""
_OTHER_SOURCE = "pass task.data: a folder or zip of the images as train|test/<class>/<image>"


def load_cifar10(
    spec: TaskSpec, progress: Progress | None = None, shared: SharedImages | None = None
) -> Split:
    """Read torchvision's copy (downloaded if no data is given), or a folder or zip of the images.

    torchvision's copy keeps its order, as the paper does: by default the first 45,000 images train
    and the last 5,000 of the 50,000 validate. A folder or zip is in order of class, hence shuffled.

    Raises:
        InputError: torchvision or the data are missing, the data are not CIFAR-10's ten classes,
            or the sizes cannot be met.
    """
    root = cache_directory() / "cifar10" if spec.data is None else _torchvision_root(spec.data)
    if root is not None:
        return _load_torchvision(spec, root, shared)
    split = load_imagefolder(spec, progress, shared)
    if len(split.classes) != 10:
        raise InputError(
            f"CIFAR-10 has 10 classes, but {spec.data!r} has {len(split.classes)}; choose the task "
            "'imagefolder' for other images"
        )
    return split


def _torchvision_root(data: str) -> Path | None:
    path = Path(data).expanduser()
    if (path / BATCHES).is_dir():
        return path
    return path.parent if path.name == BATCHES and path.is_dir() else None


def _load_torchvision(spec: TaskSpec, root: Path, shared: SharedImages | None) -> Split:
    folder = root / BATCHES
    if not folder.is_dir():
        _open(root, train=True, download=True)
    files = sorted(folder.iterdir())
    identity = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return cached_split(spec, "\n".join(identity), lambda: _build(spec, root), shared)


def _build(spec: TaskSpec, root: Path) -> Split:
    train, test = (_open(root, train=part, download=False) for part in (True, False))
    parts = ordered_partition(len(train.targets), len(test.targets), spec)
    used = list(parts.indices)
    images = np.concatenate([train.data, test.data])[used].transpose(0, 3, 1, 2)
    labels = np.asarray([*train.targets, *test.targets])[used]
    chosen = resize_images(np.ascontiguousarray(images), spec.image_size)
    return assemble(train.classes, chosen, labels, parts.sizes)


def _open(root: Path, *, train: bool, download: bool) -> Any:
    """Open torchvision's data set, which checks the files against their known MD5 sums."""
    try:
        from torchvision.datasets import CIFAR10
    except (ImportError, RuntimeError) as error:
        # RuntimeError: beside a CPU build of torch, torchvision's compiled operators are missing.
        raise InputError(
            f"CIFAR-10 is read by torchvision, which cannot be imported ({_first_line(error)}); "
            f"pip install 'evoptim[vision]', or {_OTHER_SOURCE}"
        ) from error
    try:
        return CIFAR10(str(root), train=train, download=download)
    except (RuntimeError, OSError) as error:
        action = "downloaded" if download else "read"
        raise InputError(
            f"torchvision's CIFAR-10 cannot be {action} in {str(root)!r} ({_first_line(error)}); "
            f"remove what is there and let it download again, or {_OTHER_SOURCE}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
