"""A fit in a process of its own, which is killed after some of its checkpoints were written."""

import os
import signal
import subprocess
import sys

# Every write of a checkpoint is reported, once it is done.
_REPORT = """
from mixexp.estimators import _checkpoint

original = _checkpoint.write_whole

def write(path, content):
    original(path, content)
    print("written", flush=True)

_checkpoint.write_whole = write
"""


def kill_after_writes(program, n_writes, *arguments):
    """Run a program, whose ``sys.argv`` has the arguments, and kill it after some writes."""
    command = [sys.executable, "-c", _REPORT + program, *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for _ in range(n_writes):
        assert child.stdout.readline() == "written\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
