"""What ``quantum-butler rebuild`` prints makes a dataset again that was lost, in a real repository."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import uuid
from pathlib import Path

import pytest
from campaign_runs import Runs
from click.testing import CliRunner
from lsst.ctrl.mpexec.cli.pipetask import cli as pipetask_cli
from lsst.daf.butler import Butler
from lsst.daf.butler.cli.butler import cli as butler_cli
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

import commands
from quantum_butler import collect
from quantum_butler.cli.main import main as quantum_butler_cli
from quantum_butler.demo.graph import OUTPUT_RUN

pytestmark = pytest.mark.slow

NEW_RUN = "demo/again"


def shell(command: str) -> str:
    """Run a command as it is printed; those that only read or write graphs, in this process."""
    program, *words = shlex.split(command)
    if program != "quantum-butler":
        main = {"pipetask": pipetask_cli, "butler": butler_cli}[program]
        assert not main.main(words, program, standalone_mode=False)
        return ""
    if words[0] != "run":
        result = CliRunner().invoke(quantum_butler_cli, words)
        assert result.exit_code == 0, result.output
        return result.stdout
    done = commands.run(sys.executable, "-m", "quantum_butler", *words)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def outputs(root: Path, run: str) -> dict[str, str]:
    """Return the contents of what the tasks have written to a run, without metadata and logs."""
    return {
        path.relative_to(root / run).as_posix().replace(run.replace("/", "_"), "RUN"): path.read_text()
        for path in (root / run).rglob("dataset_auto*.json")
        if "_metadata" not in path.name and "_log" not in path.name
    }


def test_a_lost_dataset_is_made_again(runs: Runs, tmp_path: Path) -> None:
    root, graph, archive = runs.root, runs.graph, tmp_path / "archive"
    assert runs.run().is_success
    shell(f"butler transfer-from-graph {graph} {root} --register-dataset-types --update-output-chain")
    collect(runs.logs, archive)
    whole = outputs(root, OUTPUT_RUN)
    name = next(name for name in whole if name.startswith("dataset_auto2/"))
    path = f"{OUTPUT_RUN}/{name}".replace("RUN", OUTPUT_RUN.replace("/", "_"))
    command = f"quantum-butler rebuild {archive} {path} --repo {root}"
    found = json.loads(shell(f"{command} --graph {graph} -o {tmp_path}/sub.qg --format json"))
    assert found["actual"] and [one["task_label"] for one in found["quanta"]] == ["first", "second"]
    assert [one["dataset_type"] for one in found["inputs"]] == ["dataset_auto0"]
    with PredictedQuantumGraph.open(str(tmp_path / "sub.qg")) as reader:
        reader.read_all()
        assert {*reader.components.quantum_datasets} == {
            uuid.UUID(one["quantum_id"]) for one in found["quanta"]
        }
    detector = found["quanta"][0]["data_id"]["detector"]
    by_us, init, by_upstream, renamed, transferred = found["commands"]

    # All that the two quanta have written is lost.
    with Butler.from_config(str(root), writeable=True) as butler:
        refs = [
            ref
            for dataset_type in butler.registry.queryDatasetTypes("*")
            for ref in butler.registry.queryDatasets(dataset_type, collections=OUTPUT_RUN)
            if ref.dataId.get("detector") == detector
        ]
        assert len(refs) == 6
        butler.pruneDatasets(refs, unstore=True, purge=True, disassociate=True)
    before = outputs(root, OUTPUT_RUN)
    lost = {name: text for name, text in whole.items() if name not in before}
    assert len(lost) == 2
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)

    shell(by_us)
    assert outputs(root, OUTPUT_RUN) == whole
    shell(transferred)
    with Butler.from_config(str(root)) as butler:
        again = {ref.id: butler.get(ref) for ref in map(butler.get_dataset, (ref.id for ref in refs)) if ref}
    assert {*again} == {ref.id for ref in refs}

    for one in (init, by_upstream):
        shell(one.replace(str(root), str(copy)))
    assert outputs(copy, OUTPUT_RUN) == whole

    new = tmp_path / "new.qg"
    shell(renamed.replace("NEW_RUN", NEW_RUN).replace("NEW.qg", str(new)))
    # Libraries have left threads in this process, which is not forked any more.
    options = {"journal": str(tmp_path / "new.journal"), "logs": None, "jobs": 1, "isolation": "none"}
    assert runs.run(graph=str(new), **options).is_success
    made = outputs(root, NEW_RUN)
    assert {*made} == {*lost}
