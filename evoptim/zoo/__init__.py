"""The zoo: optimizers and learning-rate schedules that searches found, ready to train with.

>>> from evoptim import zoo
>>> optimizer = zoo.create("opt6", model.parameters(), lr=0.1, total_steps=1000, decay=True)
>>> scheduler = zoo.schedule(2, torch.optim.SGD(model.parameters(), lr=0.1), total_steps=1000)
"""

from evoptim.zoo.catalog import OPTIMIZERS, create, names
from evoptim.zoo.optimizers import (
    AdamClip0,
    AdamClip1,
    AdamClip2,
    AdamClip3,
    AdamClip4,
    AddSign,
    Lion,
    Opt1,
    Opt2,
    Opt3,
    Opt4,
    Opt5,
    Opt6,
    Opt7,
    Opt8,
    Opt9,
    Opt10,
    PowerSign,
)
from evoptim.zoo.schedules import (
    CURVES,
    SCHEDULES,
    EvolvedLR0,
    EvolvedLR1,
    EvolvedLR2,
    EvolvedLR3,
    EvolvedLR4,
    EvolvedLR5,
    EvolvedLR6,
    EvolvedLR7,
    EvolvedLR8,
    schedule,
)

__all__ = [
    "CURVES",
    "OPTIMIZERS",
    "SCHEDULES",
    "AdamClip0",
    "AdamClip1",
    "AdamClip2",
    "AdamClip3",
    "AdamClip4",
    "AddSign",
    "EvolvedLR0",
    "EvolvedLR1",
    "EvolvedLR2",
    "EvolvedLR3",
    "EvolvedLR4",
    "EvolvedLR5",
    "EvolvedLR6",
    "EvolvedLR7",
    "EvolvedLR8",
    "Lion",
    "Opt1",
    "Opt2",
    "Opt3",
    "Opt4",
    "Opt5",
    "Opt6",
    "Opt7",
    "Opt8",
    "Opt9",
    "Opt10",
    "PowerSign",
    "create",
    "names",
    "schedule",
]
