"""``evoptim export``."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import click

from evoptim.cli.options import store_option
from evoptim.cli.output import console
from evoptim.errors import InputError


@click.command(short_help="Write an optimizer as one source file for torch or optax.")
@click.argument("optimizer")
@click.option(
    "--to",
    "target",
    default="torch",
    show_default=True,
    metavar="torch|optax",
    help="What the file depends on: torch alone, or jax and optax.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Python file to write.  [default: standard output]",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there already.")
@click.option(
    "--decay/--no-decay",
    default=None,
    help="With or without the decay functions of a zoo optimizer.  [default: without]",
)
@click.option("--name", help="Name of the class or function.  [default: one of its own]")
@store_option
def export(
    optimizer: str,
    target: str,
    output: Path | None,
    force: bool,
    decay: bool | None,
    name: str | None,
    store: str,
) -> None:
    """Write OPTIMIZER as one readable source file that does not need evoptim.

    OPTIMIZER is a name of the zoo (opt7), a formula ('Nest ~ id(arcsinh(v hat))'), a JSON file, or
    run:rank (quickstart-s0:best, or quickstart-s0:3 for Evolved 3). The file has the formula and
    its origin in its docstring, the decay functions and the schedule, and the options of
    torch.optim; with torch it computes what evoptim computes, bit for bit on a CPU.

    \b
    Examples:
      evoptim export opt7 --decay -o opt7.py
      evoptim export quickstart-s0:best --to optax --name best -o best.py
      evoptim export 'None ~ id(arcsinh(v hat))' --name Calm | less
    """  # noqa: D301 (click reads the backspace)
    from evoptim.verbs import export as export_verb

    text = export_verb(optimizer, target, decay=decay, name=name, store=store)
    if output is None or str(output) == "-":
        click.echo(text, nl=False)
        return
    _create(output, text, force)
    console.print(f"Wrote {output} ({len(text):,} characters)", soft_wrap=True)


def _create(path: Path, text: str, force: bool) -> None:
    """Write the whole file or none of it.

    Raises:
        InputError: it is there already, or cannot be written there.
        OSError: the disk fails.
    """
    if path.exists() and not force:
        raise _there_already(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _explained(path, error) from None
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes files for the owner's eyes only.
        temporary.chmod(0o666 & ~_umask())
        if force:
            temporary.replace(path)
        else:
            _claim(temporary, path)
    except FileExistsError:
        raise _there_already(path) from None
    except OSError as error:
        raise _explained(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def _claim(temporary: Path, path: Path) -> None:
    """Give the file its name unless somebody else has taken it in the meantime."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here: FAT, some network mounts.
        if path.exists():
            raise FileExistsError(path) from None
        temporary.replace(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _there_already(path: Path) -> InputError:
    return InputError(
        f"the file {str(path)!r} is there already: choose another with -o, or replace it with "
        "--force"
    )


def _explained(path: Path, error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return error
    return InputError(
        f"the file {str(path)!r} cannot be written: {error.strerror}; choose another with -o"
    )
