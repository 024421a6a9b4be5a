"""The base of every configuration and record: frozen, closed, finite, canonical JSON."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value that refuses unknown fields, NaN and infinities.

    Two values with the same content have the same :meth:`canonical_json`, hence the same
    :meth:`content_id`, whatever the order in which their fields were given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    def canonical_json(self) -> str:
        """Compact JSON with sorted keys: the text that content ids are computed from."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False
        )

    def content_id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of :meth:`canonical_json`."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]
