"""A real pipeline through the real engine: what tasks get, how a run fails, how it is stopped."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from kfp import compiler, dsl

from evoptim.errors import InfrastructureError, InputError
from pipelines import run_local

ROOT = Path(__file__).resolve().parents[2]


@dsl.component(base_image="python:3.10", install_kfp_package=False)
def count(n: int) -> list[int]:
    return list(range(n))


@dsl.component(base_image="python:3.10", install_kfp_package=False)
def act(i: int, folder: str, deed: str):
    import json
    import os
    import signal
    import sys
    import time
    from pathlib import Path

    from evoptim.errors import InputError

    if deed == "describe":
        facts = {
            "prefix": sys.prefix,
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
        }
        Path(folder, f"{i}.json").write_text(json.dumps(facts), encoding="utf-8")
    if deed == "sleep":
        Path(folder, f"{i}.part").write_text(f"{os.getpid()} {os.getpgrp()}")
        Path(folder, f"{i}.part").rename(Path(folder, f"{i}.pid"))
        time.sleep(600)
    if deed == "refuse" and i == 1:
        raise InputError("The count must be positive, got -1.")
    if deed == "break" and i == 1:
        raise ZeroDivisionError("nothing to divide by")
    if deed == "be killed" and i == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@dsl.component(base_image="python:3.10", install_kfp_package=False)
def write(path: str, text: str):
    from pathlib import Path

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


@dsl.pipeline(name="generation")
def generation(n: int, folder: str, deed: str):
    counted = count(n=n)
    with dsl.ParallelFor(counted.output, name="chunks") as i:
        act(i=i, folder=folder, deed=deed).set_display_name("act")


@dsl.pipeline(name="two-generations")
def two_generations(n: int, folder: str, deed: str):
    first = generation(n=n, folder=folder, deed="nothing").set_display_name("generation 0")
    generation(n=n, folder=folder, deed=deed).set_display_name("generation 1").after(first)


@dsl.pipeline(name="many-loops")
def many_loops(n: int, folder: str):
    last = generation(n=n, folder=folder, deed="nothing")
    for _ in range(5):
        last = generation(n=n, folder=folder, deed="nothing").after(last)


@dsl.pipeline(name="one-text")
def one_text(path: str, text: str):
    write(path=path, text=text)


@pytest.fixture
def ir(tmp_path):
    def compiled(pipeline):
        path = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text()

    return compiled


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the test's own, in which anything left behind is seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def alive(pid):
    """Whether a process is at work: one that ended and was never waited for is not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition):
    """Wait for what must come; the limit only keeps a failing test from hanging."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def sleepers(folder):
    """The processes of both running tasks and of the engine, which leads their group."""
    eventually(lambda: len(list(folder.glob("*.pid"))) == 2)
    numbers = {int(part) for path in folder.glob("*.pid") for part in path.read_text().split()}
    assert len(numbers) == 3
    assert all(map(alive, numbers))
    return numbers


def test_tasks_run_in_the_callers_interpreter_folder_and_environment(ir, tmp_path, monkeypatch):
    monkeypatch.setenv("EVOPTIM_MARK", "evoptim's")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    # A user's own module must not replace one of the standard library in our processes.
    (tmp_path / "cwd").mkdir()
    if sys.version_info >= (3, 11):
        (tmp_path / "cwd" / "json.py").write_text("raise SystemExit('wrong json')")
    monkeypatch.chdir(tmp_path / "cwd")
    before = sorted(Path.cwd().iterdir())

    with run_local(
        ir(two_generations),
        {"n": 3, "folder": str(tmp_path), "deed": "describe"},
        tmp_path / "logs" / "run.log",
    ) as run:
        run.wait()
        assert run.poll() == 0

    facts = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(3)]
    for fact in facts:
        assert fact["prefix"] == sys.prefix
        assert fact["folder"] == str(Path.cwd())
        assert fact["environment"]["EVOPTIM_MARK"] == "evoptim's"
        assert fact["environment"]["AWS_ENDPOINT_URL"] == "http://localhost:1"
        assert fact["environment"]["OMP_NUM_THREADS"] == "1"
    assert sorted(Path.cwd().iterdir()) == before


def test_nothing_is_left_in_the_temporary_folder(ir, tmp_path, temporary):
    arguments = {"path": str(tmp_path / "text"), "text": "x"}
    with run_local(ir(one_text), arguments, tmp_path / "run.log") as run:
        assert list(temporary.iterdir())
        run.wait()
    assert list(temporary.iterdir()) == []


def test_the_log_is_continued_and_says_what_ran(ir, tmp_path, capfd):
    log = tmp_path / "run.log"
    log.write_text("what an earlier run wrote\n")
    with run_local(ir(one_text), {"path": str(tmp_path / "text"), "text": "x"}, log) as run:
        run.wait()
    assert log.read_text().startswith("what an earlier run wrote\n")
    assert "one-text" in log.read_text()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('it\'s "q"\n\r\n\t\\n $HOME `id` %s {x} {{y}} ünï 漢 😀', id="quotes"),
        # kfp replaces this word in a task's command by the interpreter's path.
        pytest.param("python3", id="the word python3"),
        pytest.param(json.dumps({f"key {i}": "it's é" for i in range(2700)}), id="60 kB"),
    ],
)
def test_paths_and_texts_reach_a_task_as_they_are(ir, tmp_path, text):
    path = tmp_path / "a b" / 'it\'s "q"' / "ünï 漢" / "$HOME" / "python3" / "text"
    with run_local(ir(one_text), {"path": str(path), "text": text}, tmp_path / "run.log") as run:
        run.wait()
    assert path.read_bytes().decode() == text


def test_arguments_that_no_task_could_be_given_are_refused_before_anything_runs(
    ir, tmp_path, temporary
):
    arguments = {"path": "text", "text": "x" * 130_000}
    with pytest.raises(InputError, match="may be 122880 bytes of JSON, got 1300"):
        run_local(ir(one_text), arguments, tmp_path / "run.log")
    assert list(temporary.iterdir()) == []


def test_the_log_does_not_grow_with_every_loop(ir, tmp_path):
    log = tmp_path / "run.log"
    with run_local(ir(many_loops), {"n": 6, "folder": str(tmp_path)}, log) as run:
        run.wait()
    # kfp's own indentation would be 4 * 2 ** 6 = 256 spaces after six loops.
    indents = [len(line) - len(line.lstrip(" ")) for line in log.read_text().splitlines()]
    assert max(indents) < 64


@pytest.mark.parametrize(
    ("deed", "error", "message"),
    [
        ("refuse", InputError, r"^The count must be positive, got -1\.$"),
        (
            "break",
            InfrastructureError,
            r"^Task 'generation 1, chunks 1, act' failed: "
            r"ZeroDivisionError: nothing to divide by \(log: .*run\.log\)$",
        ),
        (
            "be killed",
            InfrastructureError,
            r"^Task 'generation 1, chunks 1, act' failed: killed by a signal, .*run\.log\)$",
        ),
    ],
)
def test_a_failed_run_tells_which_task_failed_and_why(ir, tmp_path, deed, error, message):
    arguments = {"n": 3, "folder": str(tmp_path), "deed": deed}
    log = tmp_path / "run.log"
    log.write_text("ERROR - Task 'act' finished with status FAILURE\n")
    with run_local(ir(two_generations), arguments, log) as run:
        with pytest.raises(error, match=message):
            run.wait()
        assert run.poll() == 1


def test_stop_ends_every_process_and_can_be_repeated(ir, tmp_path, temporary):
    arguments = {"n": 3, "folder": str(tmp_path), "deed": "sleep"}
    run = run_local(ir(two_generations), arguments, tmp_path / "run.log")
    processes = sleepers(tmp_path)
    assert run.poll() is None
    run.stop()
    run.stop()
    assert not any(map(alive, processes))
    assert list(temporary.iterdir()) == []
    with pytest.raises(InfrastructureError, match="stopped before its end"):
        run.wait()


def test_a_killed_engine_is_a_failure_and_takes_its_tasks_along(ir, tmp_path):
    arguments = {"n": 3, "folder": str(tmp_path), "deed": "sleep"}
    with run_local(ir(two_generations), arguments, tmp_path / "run.log") as run:
        processes = sleepers(tmp_path)
        (engine,) = {pid for pid in processes if os.getpgid(pid) == pid}
        os.kill(engine, signal.SIGKILL)
        with pytest.raises(InfrastructureError, match="ended by signal 9"):
            run.wait()
        eventually(lambda: not any(map(alive, processes)))


PARENT = """
import os, sys, time
from pathlib import Path
from pipelines import run_local
ir, folder = Path(sys.argv[1]), sys.argv[2]
arguments = {"n": 3, "folder": folder, "deed": "sleep"}
with run_local(ir.read_text(), arguments, Path(folder, "run.log")) as run:
    # A process that the parent forked holds a copy of all that the parent had open.
    if sys.argv[3] == "forks" and os.fork() == 0:
        Path(folder, "fork").write_text(str(os.getpid()))
        time.sleep(600)
    run.wait()
"""


@pytest.fixture
def parent(ir, tmp_path):
    """Start a program that runs a pipeline and waits, as a terminal starts it."""
    started = []

    def start(manner):
        ir(two_generations)
        program = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path / "pipeline.yaml"), str(tmp_path), manner],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        started.append(program)
        return program

    yield start
    for program in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


@pytest.mark.parametrize("manner", ["plain", "forks"])
def test_a_killed_parent_takes_all_its_processes_along(parent, tmp_path, temporary, manner):
    program = parent(manner)
    processes = sleepers(tmp_path)
    program.kill()
    eventually(lambda: not any(map(alive, processes)))
    assert list(temporary.iterdir()) == []


def test_an_interrupt_at_the_terminal_stops_the_run(parent, tmp_path, temporary):
    program = parent("plain")
    processes = sleepers(tmp_path)
    # As a terminal does: to the whole foreground group, which the run is not part of.
    os.killpg(program.pid, signal.SIGINT)
    program.wait(60)
    assert not any(map(alive, processes))
    assert list(temporary.iterdir()) == []
