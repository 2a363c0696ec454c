"""``python`` for a shell, without the seconds that importing torch takes: a command is a fork of a process that has it.

``python warm.py SOCKET`` serves; ``client`` writes the file to be called as ``python`` instead. What is neither
``-m l2m``, ``-m l2m.X``, a script nor ``session`` is given to the real one.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import time
import traceback
import types
from pathlib import Path
from typing import Any, NoReturn

CLIENT = """#!{python} -I
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"."], [0, 1, 2])
server.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(8) or 1))
"""


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """Start the server, and write ``folder/python``, which asks it."""
    address, client = str(folder / "socket"), folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    (folder / "l2m").write_text('#!/bin/sh\nexec python -m l2m "$@"\n')
    (folder / "l2m").chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, address], cwd=folder)
    while not Path(address).exists() and server.poll() is None:
        time.sleep(0.05)
    return server


def serve(address: str) -> NoReturn:
    import torch

    for module in ("run", "study", "training.run", "sweeps.launchers.processes", "report.summary", "cli.reports"):
        importlib.import_module(f"l2m.{module}")
    torch.set_num_threads(1)
    socket.getaddrinfo = refuse
    server = socket.socket(socket.AF_UNIX)
    server.bind(address + ".part")
    server.listen()
    os.rename(address + ".part", address)
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            answer(connection)
        connection.close()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def refuse(*_: object, **__: object) -> NoReturn:
    raise OSError("the tests are offline")


def answer(connection: socket.socket) -> NoReturn:
    """Do what a client asks for as it would, in its folder and with its environment."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    words, folder, environment = json.loads(b"".join(iter(lambda: connection.recv(2**16), b"")))
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    status: Any = 0
    try:
        do(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(status).encode())
    os._exit(0)


def do(words: list[str]) -> None:
    if words[0] == "session":
        session()
    elif words[0] == "-m" and words[1].partition(".")[0] == "l2m":
        module = importlib.import_module("l2m.__main__" if words[1] == "l2m" else words[1])
        sys.argv = [str(module.__file__), *words[2:]]
        module.main()
    elif words[0].endswith(".py"):
        sys.argv = words
        sys.path[0] = str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")
    else:
        done = subprocess.run([sys.executable, *words])
        sys.exit(done.returncode)


def session() -> None:
    """Python blocks from stdin, one a line, in one module; how each ended goes to stdout, what it prints to stderr."""
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    sys.path[0] = os.getcwd()
    for line in os.fdopen(0):
        code, name = json.loads(line)
        problem = missing = ""
        try:
            exec(compile(code, name, "exec", dont_inherit=True), vars(module))
        except BaseException as error:
            problem = traceback.format_exc()
            missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
        sys.stdout.flush()
        print(json.dumps([problem, missing]), file=told)


if __name__ == "__main__":
    serve(sys.argv[1])
