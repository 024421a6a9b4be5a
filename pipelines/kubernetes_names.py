"""What Kubernetes accepts as a name, a label, a variable, an image or a path, as types."""

import re
from typing import Annotated

from pydantic import AfterValidator

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
_QUALIFIED = re.compile(
    r"(?:[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_IMAGE = re.compile(r"[a-zA-Z0-9][-._:/@a-zA-Z0-9]{0,500}")
_PATH = re.compile(r"/[-._/a-zA-Z0-9]{1,250}")


def _matching(pattern: re.Pattern[str], rule: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(rule)
        return text

    return AfterValidator(check)


Label = Annotated[str, _matching(_LABEL, "1 to 63 lower-case letters, digits and '-' are a name")]
Name = Annotated[
    str, _matching(_SUBDOMAIN, "lower-case letters, digits, '-' and '.' are a Kubernetes name")
]
LabelKey = Annotated[
    str, _matching(_QUALIFIED, "a label's key is [prefix/]name, such as gpu/model")
]
LabelValue = Annotated[
    str, _matching(_LABEL_VALUE, "a label's value has up to 63 letters, digits, '-', '_' and '.'")
]
Variable = Annotated[
    str, _matching(_VARIABLE, "an environment variable has letters, digits and '_', no digit first")
]
Key = Annotated[str, _matching(_KEY, "a key of a Secret or ConfigMap has letters, digits, '-._'")]
Image = Annotated[str, _matching(_IMAGE, "give an image, such as registry.example/evoptim:1")]
Path = Annotated[str, _matching(_PATH, "give an absolute path of letters, digits, '-._' and '/'")]
