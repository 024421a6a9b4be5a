"""``import evoptim``: every public name, and nothing heavy before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import evoptim


@pytest.mark.parametrize("name", evoptim.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(evoptim, name).__doc__


def test_public_names_can_be_completed_in_a_notebook() -> None:
    assert set(evoptim.__all__) <= set(dir(evoptim))
    assert "__version__" in dir(evoptim)


def test_public_names_are_those_of_their_homes() -> None:
    from evoptim.config import preset
    from evoptim.genome import Genome

    assert evoptim.Genome is Genome
    assert evoptim.preset is preset


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'evoptim' has no attribute 'optimise'"):
        evoptim.optimise  # noqa: B018
    with pytest.raises(ImportError, match="optimise"):
        from evoptim import optimise  # noqa: F401


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import evoptim", ("torch", "kfp", "boto3", "sklearn", "pydantic")),
        ("from evoptim import search", ("torch", "numpy", "kfp", "boto3", "sklearn")),
        (
            "import torch\n"
            "from evoptim import EvolvedOptimizer\n"
            "EvolvedOptimizer([torch.nn.Parameter(torch.ones(1))], 'None ~ id(g)', lr=0.1)",
            ("torch._dynamo",),
        ),
        ("import evoptim.steps.reading", ("scipy", "boto3")),
    ],
)
def test_heavy_packages_wait_until_they_are_used(code: str, heavy: tuple[str, ...]) -> None:
    # A process of its own: here everything is imported already.
    program = f"import sys\n{code}\nprint(*(set(sys.modules) & set({heavy!r})))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
