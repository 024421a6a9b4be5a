"""What every test starts from."""

from __future__ import annotations

import signal

# A background job of a shell starts with SIGINT ignored, and so would all processes that tests
# start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
