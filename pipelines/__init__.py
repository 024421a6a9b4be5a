"""The search as a Kubeflow pipeline: compiled for a cluster, or run on this machine."""

from pipelines.compiler import compile_search
from pipelines.containers import Containers
from pipelines.local import LocalRun, run_local

__all__ = ["Containers", "LocalRun", "compile_search", "run_local"]
