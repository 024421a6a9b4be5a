"""The foreach interpreter's own functions."""

from __future__ import annotations

import pytest
import torch

from evoptim.update.foreach import _asinh


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 4e-7), (torch.float64, 1e-15)])
def test_asinh_is_that_of_torch(dtype: torch.dtype, error: float) -> None:
    sizes = torch.logspace(-44, 38, 20_001, dtype=torch.float64).to(dtype)
    special = torch.tensor([0.0, 1e-45, 1.5e38, torch.inf, torch.nan], dtype=dtype)
    x = torch.cat([sizes, -sizes, special, -special])
    # A few units in the last place; vector instructions flush denormal numbers to 0.
    torch.testing.assert_close(
        _asinh([x])[0], torch.asinh(x), rtol=error, atol=1.2e-38, equal_nan=True
    )
