"""The ``evoptim`` command and what every verb has in common."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Any, NoReturn

import click

import evoptim
from evoptim.cli.cancel import cancel
from evoptim.cli.compile import compile_
from evoptim.cli.doctor import doctor
from evoptim.cli.export import export
from evoptim.cli.genome import check, show
from evoptim.cli.health import health
from evoptim.cli.logs import logs
from evoptim.cli.results import report, results
from evoptim.cli.search import search
from evoptim.cli.status import status
from evoptim.cli.step import step
from evoptim.cli.submit import resume, submit
from evoptim.cli.watch import watch
from evoptim.errors import EvoptimError, InputError

_EPILOG = """
\b
Start here:
  evoptim search                        minutes on two cores, a report at the end
  evoptim results --run quickstart-s0   the ranking, also while the search runs
  evoptim show quickstart-s0:best       the best one: formula, state, decays
"""


class _Commands(click.Group):
    """Turns what goes wrong into one line and an exit code.

    2: what was given is wrong. 1: what we stand on failed. 130: interrupted.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            status = super().main(*args, **{**options, "standalone_mode": False})
        except click.UsageError as error:
            message = error.format_message().rstrip(".")
            command = error.ctx.command_path if error.ctx else "evoptim"
            _fail(f"{message}; see {command} --help", 2)
        except click.Abort:
            _fail("interrupted; what was in the store is there unharmed", 130)
        sys.exit(status or 0)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for word in args:
            # Names go into JSON, which holds text only.
            if any("\ud800" <= character <= "\udfff" for character in word):
                raise click.UsageError(f"Arguments must be UTF-8 text, got {word[:80]!r}", ctx)
        return super().parse_args(ctx, args or ["--help"])

    def invoke(self, ctx: click.Context) -> Any:
        signal.signal(signal.SIGTERM, _terminate)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A terminal that has no "η" gets a "?", not a traceback.
                stream.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except InputError as error:
            _fail(error, 2)
        except EvoptimError as error:
            _fail(error, 1)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                # The reader of our output left: say nothing, not even while Python shuts down.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise SystemExit(1) from None
            _fail(error, 1)


def _terminate(number: int, frame: object) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def _fail(error: Exception | str, code: int) -> NoReturn:
    line = " ".join(str(error).split())
    click.echo(f"error: {line}", err=True)
    raise SystemExit(code)


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(evoptim.__version__, prog_name="evoptim")
def main() -> None:
    """Discover deep-learning optimizers.

    evoptim evolves the weight-update equation, the decay functions inside it and the learning-rate
    schedule together, and trains every candidate for real. What it finds is a torch optimizer.
    """


for _command in (
    *(search, results, report, show, check, export),
    *(submit, status, watch, logs, cancel, resume, doctor),
    *(compile_, step, health),
):
    main.add_command(_command)
