"""Write-once objects in a folder or a bucket: the whole state of every run."""

from evoptim.store.base import MissingObjectError, Store, check_key
from evoptim.store.documents import load, save, to_json
from evoptim.store.layout import Stage
from evoptim.store.many import read_many
from evoptim.store.open import check_writable, open_store

__all__ = [
    "MissingObjectError",
    "Stage",
    "Store",
    "check_key",
    "check_writable",
    "load",
    "open_store",
    "read_many",
    "save",
    "to_json",
]
