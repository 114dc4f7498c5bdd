"""python -m app dev as a person uses it: the printed commands work, and Ctrl-C leaves nothing."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.contract.processes import ROOT


def test_the_printed_commands_work_and_ctrl_c_leaves_nothing() -> None:
    argv = [sys.executable, "-m", "app", "dev", "--port", str(_free_port())]
    dev = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        printed = _read(dev, until="psql")
        commands = "".join(line for line in printed if line.startswith("  "))
        tried = subprocess.run(["bash", "-eu"], input=commands, capture_output=True, text=True, check=True).stdout
        said = tried.replace(" ", "")
        assert (said.count('"duplicate":true'), said.count('"code":422')) == (1, 1), tried
        assert "order.placed" in _read(dev, until="webhook")[-1]
        (folder,) = re.findall(r"host=(\S+)", printed[-1])
        assert Path(folder).exists()
    finally:
        dev.send_signal(signal.SIGINT)
        assert dev.wait(timeout=30) == 0
    assert not Path(folder).exists()


def _read(dev: subprocess.Popen[str], until: str) -> list[str]:
    """What it prints up to the line with this word."""
    assert dev.stdout is not None
    lines: list[str] = []
    while not lines or until not in lines[-1]:
        lines.append(dev.stdout.readline())
        assert lines[-1], "it ended"
    return lines


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
