"""Function that a worker of Parsl runs for each job: it runs the command, in a warm process if possible."""

from __future__ import annotations

__all__ = ("plain_words", "run_job")

import atexit
import contextlib
import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from parsl.app.bash import remote_side_bash_executor
from parsl.app.errors import BashExitFailure

# What a shell does more with than to cut it into words.  Braces are there in ${NAME}.
_SHELL = re.compile(r"[|&;<>()`*?\[\]~#!\\\n]|\$(?!\{\w+\})")
_VARIABLE = re.compile(r"\$\{\w+\}")

# The Python of the pipetask that the shell finds, after what the site wants to come before each command.
_START = """{prefix}
tool=$(type -P -- {tool}) || exit 127
IFS= read -r line < "$tool"
[[ $line == '#!'* ]] || {{ echo "$tool is no script" >&2; exit 126; }}
exec ${{line#\\#!}} -m quantum_butler.bps.zygote
"""


class Answer(NamedTuple):
    """Result of a command: its exit code, or the reason to run it in another way."""

    code: int | None
    reason: str = ""


class _Zygote:
    """The process beside this one that forks for each command."""

    def __init__(self, tool: str, prefix: str):
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", _START.format(prefix=prefix, tool=shlex.quote(tool))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self.reason = ""
        """Why it is of no use, if it is not."""
        if self._receive() is None:
            self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            self.reason = lines[-1] if lines else f"exit status {self._process.returncode}"
            self.close()

    def run(self, words: Sequence[str], label: str, stdout: str, stderr: str) -> Answer:
        """Have a command run."""
        if self.reason:
            return Answer(None, self.reason)
        assert self._process.stdin is not None
        request = {"words": words, "label": label, "stdout": stdout, "stderr": stderr}
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        if (answer := self._receive()) is not None:
            return Answer(**answer)
        # It was killed, and the command with it.
        code = self._process.wait()
        return Answer(code or 1)

    @property
    def is_alive(self) -> bool:
        """Return whether it may be asked again; one that could not start is not started again, either."""
        return bool(self.reason) or self._process.poll() is None

    def close(self) -> None:
        """Let it end, and wait until it has."""
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self._process.wait()

    def _receive(self) -> dict[str, Any] | None:
        """Wait for the next answer; `None` if it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return answer


# Of this worker, by tool and what comes before each command.
_zygotes: dict[tuple[str, str], _Zygote] = {}


def end_zygotes() -> None:
    """Let all of them end."""
    while _zygotes:
        _zygotes.popitem()[1].close()


atexit.register(end_zygotes)


def run_job(
    command: str,
    inputs: Sequence[Any] = (),
    stdout: str = os.devnull,
    stderr: str = os.devnull,
    parsl_resource_specification: Any = None,
    *,
    label: str,
    prefix: str,
) -> int:
    """Run the command of a job, with parameters and errors of Parsl's own shell jobs."""
    if (words := plain_words(command)) is not None:
        whole = _with_prefix(prefix, command)
        for file in (stdout, stderr):
            os.makedirs(os.path.dirname(os.path.abspath(file)), exist_ok=True)
        answer = _ask(words, label, prefix, stdout, stderr, whole)
        if answer.code is not None:
            if answer.code:
                raise BashExitFailure(label, answer.code)
            return 0
        with open(stderr, "a") as stream:
            stream.write(f"quantum-butler: in a process of its own, as from a shell: {answer.reason}\n")
    code: int = remote_side_bash_executor(
        lambda **_: _with_prefix(prefix, command), stdout=stdout, stderr=stderr
    )
    return code


def _ask(words: Sequence[str], label: str, prefix: str, stdout: str, stderr: str, whole: str) -> Answer:
    """Have a command run by the zygote for it."""
    key = words[0], prefix
    zygote = _zygotes.get(key)
    if zygote is not None and not zygote.is_alive:
        zygote.close()
        zygote = None
    if zygote is None:
        zygote = _zygotes[key] = _Zygote(*key)
    if zygote.reason:
        return Answer(None, zygote.reason)
    with open(stderr, "a") as stream:
        # As Parsl does it.
        stream.write(f"--> executable follows <--\n{whole}\n--> end executable <--\n")
    return zygote.run(words, label, os.path.abspath(stdout), os.path.abspath(stderr))


def _with_prefix(prefix: str, command: str) -> str:
    return f"{prefix}\n{command}" if prefix else command


def plain_words(command: str) -> list[str] | None:
    """Return the words of a command that runs quanta and needs no shell, with variables as they are."""
    bare = _VARIABLE.sub("", command)
    if _SHELL.search(command) or "{" in bare or "}" in bare or ("$" in command and "'" in command):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:2] == ["quantum-butler", "exec"]:
        # What it would set is set.
        del words[:2]
    is_it = bool(words) and os.path.basename(words[0]) == "pipetask" and "run-qbb" in words
    return words if is_it and "$" not in words[0] else None
