"""LaTeX as MathML, which browsers typeset without scripts or fonts from elsewhere."""

from __future__ import annotations

import re

from latex2mathml.converter import convert
from markupsafe import Markup

_HAT = '<mo stretchy="false">&#x002C6;</mo>'
_WORD = re.compile(r"<mo>([A-Za-z]\w*)</mo>")
_NEGATION = re.compile(r"(&#x00028;|&#x0002C;|&#x0003D;)</mo><mo>(?=&#x02212;)")


def mathml(latex: str, *, block: bool = False) -> Markup:
    """The formula as a ``<math>`` element.

    Args:
        latex: LaTeX of a genome or a decay function, never text from elsewhere.
        block: whether it stands on a line of its own.
    """
    element = convert(latex, display="block" if block else "inline")
    # In HTML the namespace is implied.
    element = element.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1)
    # A function's name is an identifier: browsers put the space of an infix around an operator.
    element = _WORD.sub(r'<mi mathvariant="normal">\1</mi>', element)
    element = _NEGATION.sub(r'\1</mo><mo form="prefix">', element)
    # The ASCII circumflex sinks into its letter in many fonts; the modifier letter does not.
    return Markup(element.replace("<mo>&#x0005E;</mo>", _HAT))
