"""Kubeflow Pipelines components: each is one call of the step function of the same name.

A component carries no logic of its own, so that KFP, Argo and an Indexed Job do the same work.
Their bodies import what they use, because KFP ships only the function's own source. The fan-out by
an Indexed Job is a container's command: its driver belongs to the pipelines, a layer above.
"""

from components.evaluate import evaluate
from components.evaluate_finals import evaluate_finals
from components.evaluate_finals_fanout import evaluate_finals_fanout
from components.initialise import initialise
from components.propose import propose
from components.propose_finals import propose_finals
from components.report import report
from components.select import select
from evoptim.container_image import DEFAULT_IMAGE

__all__ = [
    "DEFAULT_IMAGE",
    "evaluate",
    "evaluate_finals",
    "evaluate_finals_fanout",
    "initialise",
    "propose",
    "propose_finals",
    "report",
    "select",
]
