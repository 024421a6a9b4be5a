"""A task by its specification."""

from __future__ import annotations

from evoptim.config import TaskSpec
from evoptim.errors import InputError
from evoptim.tasks.cifar10 import load_cifar10
from evoptim.tasks.dataset import Split, fingerprint
from evoptim.tasks.decode import Progress
from evoptim.tasks.digits import load_digits
from evoptim.tasks.imagefolder import load_imagefolder
from evoptim.tasks.packed import SharedImages


def load_task(
    spec: TaskSpec, progress: Progress | None = None, shared: SharedImages | None = None
) -> Split:
    """Load and split the images of a task; everything that can be wrong with them shows here.

    The same specification gives the same split on every machine. The decoded images are kept in
    ``$EVOPTIM_CACHE_DIR`` (default ``~/.cache/evoptim``), from where later calls map them.

    Args:
        spec: the task.
        progress: called with the number of images decoded and the number of all.
        shared: where machines leave decoded images for each other; None decodes here.

    Raises:
        InputError: the data are missing, broken, too few, laid out in another way, or other than
            ``spec.fingerprint`` says.
    """
    if spec.name == "digits":
        split = load_digits(spec)
    elif spec.name == "cifar10":
        split = load_cifar10(spec, progress, shared)
    else:
        split = load_imagefolder(spec, progress, shared)
    if spec.fingerprint is not None and fingerprint(split) != spec.fingerprint:
        where = "" if spec.data is None else f" in {spec.data!r}"
        raise InputError(
            f"the images of the task {spec.name!r}{where} are not those that the run began with "
            f"(fingerprint {fingerprint(split)[:12]} instead of {spec.fingerprint[:12]}); bring "
            "the old ones back, or begin a run of another name"
        )
    return split
