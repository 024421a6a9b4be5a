"""What networks are trained on: images, their split, and the paper's ConvNet."""

from evoptim.tasks.augment import crop_flip_cutout
from evoptim.tasks.dataset import Dataset, Split, fingerprint
from evoptim.tasks.decode import Progress
from evoptim.tasks.load import load_task
from evoptim.tasks.model import ConvNet
from evoptim.tasks.normalise import Normalisation, normalisation

__all__ = [
    "ConvNet",
    "Dataset",
    "Normalisation",
    "Progress",
    "Split",
    "crop_flip_cutout",
    "fingerprint",
    "load_task",
    "normalisation",
]
