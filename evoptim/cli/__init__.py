"""The command line: parses, calls one verb, prints."""

from evoptim.cli.main import main

__all__ = ["main"]
