"""Runs of a small mock pipeline by ``bps``, each in a folder of its own."""

from __future__ import annotations

__all__ = ("OURS", "STOCK", "BpsRun")

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

OURS = "quantum_butler.bps.WarmParslService"
STOCK = "lsst.ctrl.bps.parsl.ParslService"

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class BpsRun:
    """A run of a graph, from its configuration to what is left of it."""

    def __init__(self, pristine: Path, folder: Path, service: str, **more: Any):
        shutil.copytree(pristine, folder)
        self.folder, self.root, self.service = folder, folder / "repo", service
        self.submit_folder = folder / "submit" / "demo" / "run"
        configuration = {
            "pipelineYaml": "none.yaml",
            "project": "demo",
            "campaign": "test",
            "wmsServiceClass": service,
            "computeSite": "local",
            "site": {"local": {"class": "lsst.ctrl.bps.parsl.sites.Local", "cores": 1, "retries": 0}},
            "parsl": {"log_level": "WARN"},
            "qgraphFile": str(folder / "graph.qg"),
            "payload": {
                "payloadName": "mock",
                "butlerConfig": str(self.root),
                "inCollection": "input",
                "output": "demo",
                "outputRun": "demo/run",
                "dataQuery": "",
            },
            "finalJob": {
                "whenRun": "ALWAYS",
                "requestCpus": 1,
                "command1": "butler query-collections {butlerConfig}",
            },
        }
        for key, value in more.items():
            before = configuration.get(key)
            configuration[key] = before | value if isinstance(before, Mapping) else value
        self.file = folder / "run.yaml"
        self.file.write_text(yaml.safe_dump(configuration))

    def bps(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return self.read(self.start(*arguments))

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command."""
        scripts = Path(sys.executable).parent
        command = [str(scripts / "bps"), "--log-level", "WARNING", *map(str, arguments)]
        path = os.pathsep.join([str(scripts), os.environ["PATH"]])
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | {"PATH": path, "PWD": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @staticmethod
    def read(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        """Wait for the end of a command."""
        said, _ = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, said)

    def asked(self, command: str) -> str:
        """Return what a command says of the run."""
        done = self.bps(command, "--id", self.submit_folder, "--wms-service-class", self.service)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def states(self) -> dict[tuple[str, str], int]:
        """Return how many jobs of a label are in a state, by ``bps report``."""
        lines = self.asked("report").splitlines()
        header = next(line.split() for line in lines if "UNKNOWN" in line)
        found = {}
        for line in lines:
            label, *counts = line.split() or [""]
            if len(counts) == len(header) and label != "TOTAL" and counts[0].isdigit():
                found |= {(label, state): int(n) for state, n in zip(header, counts, strict=True) if int(n)}
        return {key: count for key, count in found.items() if key[1] != "EXPECTED"}

    def events(self) -> list[dict[str, Any]]:
        """Return what the state file has of jobs."""
        lines = (self.submit_folder / "quantum_butler_run.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if "job" in event]

    def outputs(self) -> dict[str, Any]:
        """Return what is in the repository, without what differs from run to run."""
        found: dict[str, Any] = {}
        for path in self.root.joinpath("demo").rglob("*.json"):
            name, content = path.relative_to(self.root).as_posix(), path.read_text()
            if "_log" in name:
                records = json.loads(content)
                records = records["records"] if isinstance(records, dict) else records
                found[name] = [_plain(record["message"]) for record in records]
            elif "_metadata" in name:
                found[name] = sorted(json.loads(content))
            else:
                # Each run has a graph with ids of its own.
                found[name] = None if "packages" in name else _ID.sub("ID", content)
        return found

    def streams(self) -> dict[str, tuple[str, list[str]]]:
        """Return what each job of a task has printed, without times and names of this run."""
        found = {}
        for path in (self.submit_folder / "logs").rglob("*.stdout"):
            if not path.name.startswith(("pipetaskInit", "finalJob")):
                errors = path.with_suffix(".stderr").read_text().splitlines()
                name = path.stem.partition("_")[2]
                # Frames of a traceback are indented.
                plain = [self._plain_line(line) for line in errors if not line.startswith("  ")]
                found[name] = path.read_text(), plain
        return found

    def _plain_line(self, line: str) -> str:
        line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+", "TIME", line.replace(str(self.folder), "FOLDER"))
        return _plain(_ID.sub("ID", line))


def _plain(line: str) -> str:
    """Return a line without seconds, and without what comes after it, such as a traceback."""
    return re.sub(r"\d+\.\d+", "X", line.partition(" took ")[0].partition("\n")[0])
