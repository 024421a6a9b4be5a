"""What a step takes of processors and memory, in a process of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from evoptim.steps.processes import MOST


@dataclass(frozen=True)
class Cost:
    """What one step took, in processor seconds."""

    own: float
    """Of its first process while it is alone."""
    memory: int
    """Bytes, at most at a time, all processes together."""
    beside: float = 0.0
    """Of its first process while others work for it."""
    shared: float = 0.0
    """Of those others, but for their start."""
    begin: float = 0.0
    """Of one of those others until it works."""

    def seconds(self, cores: int) -> float:
        """How long the step takes on so many cores."""
        return self.own + self.together(cores)

    def together(self, cores: int) -> float:
        """That part of it in which others work for its first process."""
        together = self.begin + (self.shared + self.beside) / min(cores, MOST)
        return max(together, self.beside) if self.shared else 0.0


def run_step(store: Path, *arguments: str, begin: float = 0.0) -> Cost:
    """``evoptim step ...`` in a process of its own, as in a container.

    Args:
        store: The folder.
        arguments: What follows ``step``.
        begin: Processor seconds until one of the processes that it may start works.
    """
    program = "from evoptim.cli import main; main()"
    command = [sys.executable, "-c", program, "step", *arguments, "--store", str(store)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as output:
        started = subprocess.Popen(command, stdout=output, env=environment)
        process = psutil.Process(started.pid)
        others: dict[int, float] = {}
        memory, own, beside = 0, 0.0, 0.0
        while True:
            looked = _look(process)
            if looked is None:
                break
            used, held = looked
            before, own = own, used.pop(process.pid)
            # One of them is multiprocessing's own, which stays to the end and does next to nothing.
            beside += (own - before) if len(used) > 1 else 0.0
            others |= used
            memory = max(memory, held)
            time.sleep(0.02)
        # What it did since it was looked at last is known from its end alone.
        _, status, whole = os.wait4(process.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise subprocess.CalledProcessError(started.returncode, command)
    starts = begin * (len(others) - 1) if others else 0.0
    total = whole.ru_utime + whole.ru_stime
    return Cost(
        own=total - sum(others.values()) - beside,
        memory=memory,
        beside=beside,
        shared=max(0.0, sum(others.values()) - starts),
        begin=begin if others else 0.0,
    )


def _look(process: psutil.Process) -> tuple[dict[int, float], int] | None:
    """Processor seconds of a process and of those below it by their numbers, and the bytes that
    they hold; None where it has ended."""
    used: dict[int, float] = {}
    memory = 0
    try:
        below = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    for each in (process, *below):
        try:
            times, held = each.cpu_times(), each.memory_info().rss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        # An ended process holds nothing any more.
        if held:
            used[each.pid] = times.user + times.system
            memory += held
    return (used, memory) if process.pid in used else None


def import_seconds(*modules: str) -> float:
    """Processor seconds of a fresh process until it has imported these."""
    program = f"import time, {', '.join(modules)}\nprint(time.process_time())"
    command = [sys.executable, "-c", program]
    return statistics.median(
        float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) for _ in range(3)
    )
