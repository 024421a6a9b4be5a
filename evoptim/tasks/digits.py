"""scikit-learn's bundled handwritten digits: 1,797 grey images of 8 x 8 pixels, 10 classes.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import numpy as np

from evoptim.config import TaskSpec
from evoptim.errors import InputError
from evoptim.tasks.assemble import assemble
from evoptim.tasks.cache import cached_split
from evoptim.tasks.dataset import Split
from evoptim.tasks.decode import resize_images
from evoptim.tasks.partition import Parts, stratified_partition

_BRIGHTEST = 16
_MISSING = "the task 'digits' needs scikit-learn: pip install scikit-learn"


def load_digits(spec: TaskSpec) -> Split:
    """The digits, pixels 0..16 scaled to 0..255.

    Raises:
        InputError: a data folder was given, or the sizes cannot be met.
    """
    if spec.data is not None:
        raise InputError(
            f"the task 'digits' brings its own images, got data = {spec.data!r}; leave it out, or "
            "choose the task 'imagefolder'"
        )
    try:
        release = version("scikit-learn")
    except PackageNotFoundError as error:
        raise InputError(_MISSING) from error
    return cached_split(spec, f"scikit-learn {release}", lambda: _build(spec))


def _build(spec: TaskSpec) -> Split:
    # Imported only when the cache has nothing: it takes seconds.
    try:
        from sklearn.datasets import load_digits as bundled
    except ImportError as error:
        raise InputError(_MISSING) from error
    pixels, labels = bundled(return_X_y=True)
    images = np.rint(pixels * (255 / _BRIGHTEST)).astype(np.uint8).reshape(-1, 1, 8, 8)
    parts = stratified_partition(labels.tolist(), Parts(train=tuple(range(len(labels)))), spec)
    classes = tuple(str(digit) for digit in range(10))
    used = list(parts.indices)
    chosen = resize_images(images[used], spec.image_size)
    return assemble(classes, chosen, labels[used], parts.sizes)
