"""The user's own images: a folder or a zip with one folder for each class."""

from __future__ import annotations

import PIL

from evoptim.config import TaskSpec
from evoptim.errors import InputError
from evoptim.tasks.assemble import assemble
from evoptim.tasks.cache import cached_split
from evoptim.tasks.dataset import Split
from evoptim.tasks.decode import Progress, decode_images
from evoptim.tasks.listing import LAYOUT, list_images
from evoptim.tasks.packed import SharedImages
from evoptim.tasks.partition import stratified_partition
from evoptim.tasks.source import ImageSource, identify, open_source


def load_imagefolder(
    spec: TaskSpec, progress: Progress | None = None, shared: SharedImages | None = None
) -> Split:
    """PNG, JPEG, BMP and WebP images, grey or colour.

    Raises:
        InputError: no data was given, it cannot be used, or the sizes cannot be met.
    """
    if spec.data is None:
        raise InputError(
            f"the task {spec.name!r} needs task.data: a folder or zip laid out as {LAYOUT}"
        )
    data = spec.data

    def build() -> Split:
        with open_source(data) as source:
            return _build(source, spec, progress)

    return cached_split(spec, f"{identify(data)} Pillow {PIL.__version__}", build, shared)


def _build(source: ImageSource, spec: TaskSpec, progress: Progress | None) -> Split:
    listing = list_images(source.label, source.files(), source.folders())
    parts = stratified_partition(listing.labels, listing.parts, spec)
    unused = sorted(set(range(len(listing.names))).difference(parts.indices))
    images = decode_images(
        source,
        [listing.names[index] for index in parts.indices],
        [listing.names[index] for index in unused],
        spec.image_size,
        progress,
    )
    labels = [listing.labels[index] for index in parts.indices]
    return assemble(listing.classes, images, labels, parts.sizes)
