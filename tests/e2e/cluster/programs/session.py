"""Commands of evoptim one after another in one pod; what they leave in the store comes in the log.

    python session.py '[{"run": ["step", "propose", ...]}, {"show": "runs/a/report/archive.json"}]'

A session does what an engine does with its pods: it starts each step as a process of its own. Its
first argument is a JSON list of these:

    {"run": [...]}                   evoptim with these arguments; the session ends if it fails
    {"run": [...], "kill at": TEXT}  SIGKILL as soon as it prints this; that it died is no failure
    {"show": KEY, "store": URL}      print an object, in lines that `shown` reads
    {"facts": true}                  print what the last bits of a result depend on
"""

import base64
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# An object's lines in the log: <mark> <key> <a part of it as base64>.
MARK = "evoptim-e2e-object"
FACTS = "evoptim-e2e-facts"
LINE = 3000
KILLED = "evoptim-e2e-killed"


def run(arguments: "list[str]", kill_at: "str | None" = None) -> int:
    """Run a command, with its output in ours, or until it says something."""
    print("$ evoptim", *(each[:60] for each in arguments), flush=True)
    process = subprocess.Popen(
        ["evoptim", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    killed = False
    for line in process.stdout:
        print(line, end="", flush=True)
        if kill_at is not None and kill_at in line and not killed:
            process.kill()
            killed = True
            print(KILLED, flush=True)
    code = process.wait()
    if kill_at is not None:
        # It ended by itself before it said so: that was to be seen.
        return 0 if killed else 1
    return code


def show(key: str, store: str) -> None:
    """Print an object of the store."""
    from evoptim.store import open_store

    text = base64.b64encode(open_store(store).get(key)).decode()
    for start in range(0, len(text), LINE):
        print(MARK, key, text[start : start + LINE], flush=True)


def shown(log: str) -> "dict[str, bytes]":
    """The objects that a log shows."""
    texts: dict[str, str] = {}
    for line in log.splitlines():
        words = line.split(" ")
        if words[0] == MARK:
            texts[words[1]] = texts.get(words[1], "") + words[2]
    return {key: base64.b64decode(text) for key, text in texts.items()}


def facts() -> "dict[str, str]":
    """What the last bits of a result depend on."""
    import numpy
    import torch

    return {
        "torch": torch.__version__.partition("+")[0],
        "numpy": numpy.__version__,
        "CPU": f"{_processor()} with {torch.backends.cpu.get_cpu_capability()}",
    }


def _processor() -> str:
    """The model: libraries choose their code by more than the instructions that it has."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    named = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def act(step: "Mapping[str, Any]") -> int:
    """Do one thing; returns an exit code."""
    if "run" in step:
        return run(step["run"], step.get("kill at"))
    if "show" in step:
        show(step["show"], step["store"])
    if "facts" in step:
        print(FACTS, json.dumps(facts()), flush=True)
    return 0


def main(text: str) -> int:
    """Do all; returns the exit code of what failed, or 0."""
    for step in json.loads(text):
        code = act(step)
        if code:
            print(f"evoptim ended with {code}", flush=True)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
