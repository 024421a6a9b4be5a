"""Runs ``evoptim`` in a child of a process that has imported it: seconds less for every step.

    python prefork.py SOCKET             the process that children come from
    python prefork.py SOCKET ARGUMENT…   the program ``evoptim`` of a pod, with these arguments

The program is a process like any other: it has the child's output and exit code, hands SIGTERM on
to it, and when it is killed so is the child.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path

_LENGTH = struct.Struct("!Q")
_CODE = struct.Struct("!i")


def run(path: str, arguments: "list[str]") -> int:
    """Have ``evoptim`` run with these arguments, here and now; returns its exit code."""
    told = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
    text = json.dumps(told).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [_LENGTH.pack(len(text))], [0, 1, 2])
        connection.sendall(text)
        (child,) = _CODE.unpack(_receive(connection, _CODE.size))

        def hand_on(number: int, frame: object) -> None:
            # The first process of a container gets no signal that it does not wait for.
            if catches(child, number):
                os.kill(child, number)

        signal.signal(signal.SIGTERM, hand_on)
        (code,) = _CODE.unpack(_receive(connection, _CODE.size))
    return int(code)


def catches(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    caught = status.partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (number - 1) & 1)


def serve(path: str) -> None:
    """Import everything, then make a child for each program that connects."""
    import boto3  # noqa: F401
    import torch  # noqa: F401

    import evoptim.cli.main
    import evoptim.steps
    import evoptim.training  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _look_after(connection)
            os._exit(0)
        connection.close()


def _look_after(connection: socket.socket) -> None:
    """Start what a program asks for; end it when the program ends, and say how it ended."""
    head, files, _, _ = socket.recv_fds(connection, _LENGTH.size, 3)
    (length,) = _LENGTH.unpack(head)
    told = json.loads(_receive(connection, length))
    child = os.fork()
    if child == 0:
        connection.close()
        _become(told, files)
    for file in files:
        os.close(file)
    connection.sendall(_CODE.pack(child))
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([connection, ended], [], [])
    if ended not in ready:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if ended in ready:
        connection.sendall(_CODE.pack(128 - code if code < 0 else code))


def _become(told: "dict[str, object]", files: "list[int]") -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(str(told["folder"]))
        os.environ.clear()
        os.environ.update(told["environment"])  # type: ignore[call-overload]
        for number, file in enumerate(files):
            os.dup2(file, number)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.argv = ["evoptim", *told["arguments"]]  # type: ignore[misc]
        from evoptim.cli import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the other side ended")
        data += piece
    return data


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(run(sys.argv[1], sys.argv[2:]))
    serve(sys.argv[1])
