"""``quantum-butler exec``: the command runs as it would without, and with our classes in force."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from commands import graph_repository, run, run_exec
from quantum_butler.dropin.launcher import LAUNCH_FOLDER, environment
from quantum_butler.switches import SWITCH

OURS = "quantum_butler.butler.butler"
STOCK = "lsst.daf.butler._quantum_backed"
TELL = "import lsst.daf.butler as b; print(b.QuantumBackedButler.__module__)"


def with_path(*folders: Path, **variables: str) -> dict[str, str]:
    """Return our environment with folders first on ``PYTHONPATH``."""
    path = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, source in files.items():
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_text(source)
    return folder


# --- The command itself -------------------------------------------------------------------------------


def test_arguments_after_the_command_are_its_own() -> None:
    arguments = ["--help", "--require", "-h", "--", "", "a b", "--version"]
    show = "import sys, json; print(json.dumps(sys.argv[1:]))"
    for separator in ([], ["--"]):
        done = run_exec(*separator, sys.executable, "-c", show, *arguments)
        assert json.loads(done.stdout) == arguments


def test_options_before_the_command_are_ours() -> None:
    assert run_exec("--no-such-option", sys.executable).returncode == 2
    assert run_exec().returncode == 2
    assert "pipetask run-qbb" in run_exec("--help").stdout


def test_exit_status_and_signals_are_the_commands() -> None:
    assert run_exec(sys.executable, "-c", "raise SystemExit(7)").returncode == 7
    assert run_exec("sh", "-c", "kill -TERM $$").returncode == -15


def test_a_broken_pipe_ends_a_command_silently() -> None:
    done = run_exec("sh", "-c", "yes | head -n 1")
    assert (done.stdout, done.stderr) == ("y\n", "")


def test_what_cannot_be_run(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    scripts = {"plain": "exit 0\n", "orphan": "#!/no/such/interpreter\n", "nothing": "hello\n"}
    write(tmp_path, scripts)
    for name in ("orphan", "nothing"):
        tmp_path.joinpath(name).chmod(0o755)
    for command, status, reason in (
        ("no-such-command", 127, "command not found"),
        (tmp_path / "missing", 127, "command not found"),
        (tmp_path / "plain" / "below", 127, "command not found"),
        (tmp_path / "plain", 126, "Permission denied"),
        (folder, 126, "Permission denied"),
        (tmp_path / "nothing", 126, "Exec format error"),
        (tmp_path / "orphan", 126, "interpreter"),
    ):
        done = run_exec(command)
        assert done.returncode == status, command
        assert done.stderr.startswith(f"quantum-butler exec: {command}: "), command
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1


def test_command_is_looked_up_on_path(tmp_path: Path) -> None:
    write(tmp_path, {"my-command": "#!/bin/sh\necho found $1\n"})
    tmp_path.joinpath("my-command").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert run_exec("my-command", "it", env={**os.environ, "PATH": path}).stdout == "found it\n"


# --- The environment ----------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, "", "/a", f"/a{os.pathsep}{os.pathsep}/b{os.pathsep}"])
def test_environment_adds_to_what_the_user_set(before: str | None) -> None:
    base = {"HOME": "/home"} if before is None else {"HOME": "/home", "PYTHONPATH": before}
    after = environment(base)
    expected = LAUNCH_FOLDER + (os.pathsep + before if before else "")
    assert after == {"HOME": "/home", "PYTHONPATH": expected, SWITCH: "1"}
    assert environment(after) == after
    assert environment(after, require=True) == {**after, SWITCH: "require"}


def test_a_command_without_lsst_imports_nothing_more() -> None:
    modules = "import sys; print(sorted(sys.modules))"
    without = run(sys.executable, "-c", modules)
    assert "site" in without.stdout
    assert run_exec(sys.executable, "-c", modules).stdout == without.stdout


# How many of our finders there are: one, or none.
WATCHING = (
    "import sys; print([type(finder).__name__ for finder in sys.meta_path].count('QuantumButlerFinder'))"
)


@pytest.mark.parametrize("flags", [["-E"], ["-I"], ["-S"]], ids=" ".join)
def test_python_told_to_ignore_us_does(flags: list[str]) -> None:
    assert run_exec(sys.executable, "-c", WATCHING).stdout == "1\n"
    done = run_exec(sys.executable, *flags, "-c", WATCHING)
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


@pytest.mark.parametrize("value", ["", "0"])
def test_a_child_can_be_switched_off(value: str) -> None:
    done = run(sys.executable, "-c", WATCHING, env={**environment(os.environ), SWITCH: value})
    assert done.stdout == "0\n"


# --- Handing on to another sitecustomize --------------------------------------------------------------

LOOK = """
import sys
module = sys.modules.get("sitecustomize")
print(module and (module.__name__, module.__file__, module.__spec__.origin, module.ran))
"""


def test_an_existing_sitecustomize_runs_as_such(tmp_path: Path) -> None:
    source = (
        "import sys\nran = (__name__, sys.modules['sitecustomize'].__file__ == __file__, len(sys.path))\n"
    )
    env = with_path(write(tmp_path, {"sitecustomize.py": source}))
    without = run(sys.executable, "-c", LOOK, env=env)
    assert str(tmp_path / "sitecustomize.py") in without.stdout
    assert run_exec(sys.executable, "-c", LOOK, env=env).stdout == without.stdout
    assert run_exec(sys.executable, "-c", WATCHING, env=env).stdout == "1\n"


def test_our_folder_stays_on_the_path(tmp_path: Path) -> None:
    env = with_path(write(tmp_path, {"sitecustomize.py": ""}))
    done = run_exec(sys.executable, "-c", "import sys; print(*sys.path[1:3], sep='\\n')", env=env)
    assert done.stdout.split() == [LAUNCH_FOLDER, str(tmp_path)]


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('broken')",
        "import no_such_module",
        "from sys import no_such_name",
        "raise ImportError('mine', name='sitecustomize')",
        "raise SystemExit(3)",
        "this is no Python",
    ],
)
def test_errors_of_an_existing_sitecustomize_are_what_they_were(tmp_path: Path, source: str) -> None:
    env = with_path(write(tmp_path, {"sitecustomize.py": source}))
    look = "import sys; print('sitecustomize' in sys.modules)"
    without = run(sys.executable, "-c", look, env=env)
    done = run(sys.executable, "-c", look, env=environment(env))

    def said(process: subprocess.CompletedProcess[str]) -> list[str]:
        # A traceback has our frames in it too.
        return [line for line in process.stderr.splitlines() if not line.startswith(" ")]

    assert said(without) or "name=" in source
    assert (done.returncode, done.stdout, said(done)) == (without.returncode, without.stdout, said(without))


def test_sitecustomize_found_by_the_program_is_what_it_was() -> None:
    code = (
        "try:\n import sitecustomize; print(sitecustomize.__file__)\n"
        "except ImportError as error:\n print(repr(error), error.name)"
    )
    without = run(sys.executable, "-c", code)
    done = run_exec(sys.executable, "-c", f"{code}\n{WATCHING}")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{without.stdout}1\n", without.stderr)


CHAINING = """
import importlib.machinery, importlib.util, os, sys
print("{name}")
here = os.path.dirname(__file__)
{leave}
spec = importlib.machinery.PathFinder.find_spec("sitecustomize", [p for p in sys.path if p != here])
if spec is not None:
    module = sys.modules["sitecustomize"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
"""


@pytest.mark.parametrize("leave", ["", "sys.path.remove(here)"], ids=["stays on the path", "leaves the path"])
def test_others_that_hand_on_too(tmp_path: Path, leave: str) -> None:
    chaining = write(tmp_path / "1", {"sitecustomize.py": CHAINING.format(name="chaining", leave=leave)})
    last = write(tmp_path / "2", {"sitecustomize.py": "print('last')"})
    for env in (
        environment(with_path(chaining, last)),
        {**with_path(chaining, Path(LAUNCH_FOLDER), last), SWITCH: "1"},
    ):
        done = run(sys.executable, "-c", WATCHING, env=env)
        assert (done.stdout.split(), done.stderr) == (["chaining", "last", "1"], ""), env["PYTHONPATH"]


def test_usercustomize_is_left_alone(tmp_path: Path) -> None:
    # A virtual environment has no user site, and so no usercustomize: take the Python it was made with.
    python = os.path.realpath(sys.executable)
    env = with_path(write(tmp_path, {"usercustomize.py": "print('user')"}))
    without = run(python, "-c", WATCHING, env=env)
    if "user" not in without.stdout:
        pytest.skip("this Python has no user site")
    assert run(python, "-c", WATCHING, env=environment(env)).stdout.split() == ["user", "1"]


# --- Logs that are not there ---------------------------------------------------------------------------

LOGS = "open(os.path.join(os.environ['QUANTUM_BUTLER_PROVENANCE'], f'{os.getpid()}.jsonl'), 'w').close()"
CHILD = (
    f"import subprocess, sys; subprocess.run([sys.executable, '-c', {'import os; ' + LOGS!r}], check=True)"
)
WORKER = (
    "import multiprocessing, os\n"
    f"def log():\n {LOGS}\n"
    "if __name__ == '__main__':\n"
    " worker = multiprocessing.get_context('spawn').Process(target=log)\n worker.start()\n worker.join()\n"
)
NOTHING = "quantum-butler exec: nothing was logged in "


@pytest.mark.parametrize("there", [0, 2], ids=["no log", "logs of before"])
def test_a_command_that_logs_nothing_is_told_of(tmp_path: Path, there: int) -> None:
    logs = tmp_path / "logs"
    write(logs, {f"{n}.jsonl": "" for n in range(there)})
    for code, status in (("pass", 0), ("raise SystemExit(3)", 3), ("os.mkdir('others')", 0)):
        done = run_exec(
            "--provenance-log", logs, sys.executable, "-c", f"import os; os.chdir({str(tmp_path)!r})\n{code}"
        )
        assert done.returncode == status
        assert done.stderr.startswith(f"{NOTHING}{logs}; ") and done.stderr.count("\n") == 1
    # Nobody has asked for any.
    assert run_exec(sys.executable, "-c", "pass").stderr == ""


@pytest.mark.parametrize("source", [f"import os\n{LOGS}\n", CHILD, WORKER], ids=["itself", "child", "worker"])
@pytest.mark.parametrize("name", ["pipetask", "other"])
def test_a_command_that_logs_is_not(tmp_path: Path, source: str, name: str) -> None:
    logs = tmp_path / "logs"
    write(tmp_path, {name: source, "logs/before.jsonl": ""})
    for _ in range(2):
        done = run_exec("--provenance-log", logs, sys.executable, tmp_path / name, "run")
        assert (done.returncode, done.stderr) == (0, "")
    assert len(list(logs.iterdir())) == 3


def test_pipetask_run_below_a_shell(tmp_path: Path) -> None:
    write(tmp_path, {"pipetask": "", "prepare": ""})
    python, logs = sys.executable, tmp_path / "logs"

    def said(script: str) -> str:
        done = run_exec("--provenance-log", logs, "sh", "-c", f"cd {tmp_path}; {script}; true")
        assert done.returncode == 0
        return done.stderr

    told = said(f"{python} prepare; {python} pipetask -j 2 run -b repo")
    assert told.startswith(f"{NOTHING}{logs}; ") and told.count("\n") == 1 and "pipetask run has none" in told
    # Something else in the shell may log yet, and run-qbb may find all its quanta done.
    assert said(f"{python} prepare; {python} pipetask qgraph -b repo; {python} pipetask run-qbb repo") == ""


# --- Waiting for upstream -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        "pass",
        "from quantum_butler import QuantumBackedButler",
        "import quantum_butler.butler.factory",
        "import quantum_butler; quantum_butler.install()",
    ],
)
def test_whatever_is_imported_first_ours_is_in_force(first: str) -> None:
    code = f"{first}\n{TELL}\nprint(b.__loader__ is b.__spec__.loader, type(b.__loader__).__name__)"
    done = run_exec("--require", sys.executable, "-c", code)
    assert done.stderr == ""
    assert done.stdout.split() == [OURS, "True", "SourceFileLoader"]


def test_uninstall_is_for_good() -> None:
    code = f"import lsst.daf.butler, quantum_butler; quantum_butler.uninstall()\n{TELL}"
    assert run_exec(sys.executable, "-c", code).stdout.split() == [STOCK]


def test_a_sitecustomize_that_imports_upstream_gets_ours(tmp_path: Path) -> None:
    env = with_path(write(tmp_path, {"sitecustomize.py": "from lsst.daf.butler import QuantumBackedButler"}))
    code = "import sitecustomize; print(sitecustomize.QuantumBackedButler.__module__)"
    assert run_exec("--require", sys.executable, "-c", code, env=env).stdout.split() == [OURS]


# Small modules instead of upstream and ours, to have them fail.
FAKE_UPSTREAM = {"lsst/daf/butler/__init__.py": "class QuantumBackedButler: pass\n"}
FAKE_OURS = {
    "quantum_butler/__init__.py": "",
    "quantum_butler/butler/butler.py": (
        "import lsst.daf.butler\nclass QuantumBackedButler(lsst.daf.butler.QuantumBackedButler): pass\n"
    ),
    "quantum_butler/dropin/install.py": (
        "def install(**options):\n"
        "    from lsst.daf import butler\n"
        "    from ..butler.butler import QuantumBackedButler\n"
        "    butler.QuantumBackedButler = QuantumBackedButler\n"
        "    print('installed')\n"
    ),
}
# Fakes would lose to installed packages: a namespace package does to any other.
ONLY_FAKES = {"sitecustomize.py": "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]"}


@pytest.fixture
def fakes(tmp_path: Path) -> dict[str, str]:
    """Return an environment with nothing but made-up packages; `lsst` is a namespace package."""
    write(tmp_path, FAKE_UPSTREAM | FAKE_OURS | ONLY_FAKES)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_a_namespace_package(fakes: dict[str, str]) -> None:
    done = run(sys.executable, "-c", f"{TELL}; import lsst; print(lsst.__file__)", env=environment(fakes))
    assert (done.stdout.split(), done.stderr) == (["installed", OURS, "None"], "")


@pytest.mark.parametrize(
    "first",
    [
        "import quantum_butler.butler.butler",
        "import importlib.util; assert importlib.util.find_spec('lsst.daf.butler')",
    ],
    ids=["ours", "only looked for"],
)
def test_installs_once_whatever_comes_first(fakes: dict[str, str], first: str) -> None:
    done = run(sys.executable, "-c", f"{first}; {TELL}", env=environment(fakes))
    assert (done.stdout.split(), done.stderr) == (["installed", OURS], "")


def test_upstream_that_cannot_be_imported(fakes: dict[str, str], tmp_path: Path) -> None:
    """The error comes through, and a later attempt finds us waiting."""
    broken = "import os\nif os.environ.pop('BROKEN', None): raise OSError('disk')\n"
    broken += FAKE_UPSTREAM["lsst/daf/butler/__init__.py"]
    write(tmp_path, {"lsst/daf/butler/__init__.py": broken})
    code = f"try:\n import lsst.daf.butler\nexcept OSError as error:\n print(error)\n{TELL}"
    done = run(sys.executable, "-c", code, env={**environment(fakes), "BROKEN": "1"})
    assert done.stdout.split() == ["disk", "installed", OURS]


@pytest.mark.parametrize(
    ("ours", "reason"),
    [
        (None, "ModuleNotFoundError: No module named 'quantum_butler'"),
        ("raise RuntimeError('no such extension')", "RuntimeError: no such extension"),
    ],
    ids=["not installed", "broken"],
)
def test_python_in_which_ours_cannot_be_imported(
    fakes: dict[str, str], tmp_path: Path, ours: str | None, reason: str
) -> None:
    """It warns once, where it matters, and goes on; or it fails, if that was asked for."""
    if ours is None:
        # It may well be installed in the Python that runs these tests.
        missing = """raise ModuleNotFoundError("No module named 'quantum_butler'", name=__name__)"""
        write(tmp_path, {"quantum_butler/__init__.py": missing})
    else:
        write(tmp_path, {"quantum_butler/dropin/install.py": ours})
    silent = run(sys.executable, "-c", "print('started')", env=environment(fakes))
    assert (silent.stdout, silent.stderr) == ("started\n", "")

    goes_on = run(sys.executable, "-W", "error", "-c", TELL, env=environment(fakes))
    assert goes_on.stdout.split() == ["lsst.daf.butler"]
    assert goes_on.stderr.count("\n") == 1
    assert "the stock butler stays in force" in goes_on.stderr
    assert goes_on.stderr.endswith(f"{reason}\n")

    fails = run(sys.executable, "-c", TELL, env=environment(fakes, require=True))
    assert fails.returncode == 1
    assert fails.stderr.endswith(f"{reason}\n")

    retry = f"try:\n import lsst.daf.butler\nexcept Exception:\n print('failed')\n{TELL}"
    fails = run(sys.executable, "-c", retry, env=environment(fakes, require=True))
    assert (fails.stdout.split(), fails.returncode) == (["failed"], 1)


# --- The real thing -----------------------------------------------------------------------------------

# Written by each process of the run when it ends.  Forked workers run no exit handlers, hence the wrapper.
WITNESS = """
import atexit, json, os, sys
from multiprocessing.process import BaseProcess, parent_process

def testify():
    module_of = lambda name: name in sys.modules and sys.modules[name].QuantumBackedButler.__module__
    statement = {
        "worker": parent_process() is not None,
        "butler": module_of("lsst.daf.butler"),
        "executor": module_of("lsst.ctrl.mpexec.cli.script.run_qbb"),
    }
    with open(os.path.join(os.environ["WITNESS"], str(os.getpid())), "w") as stream:
        json.dump(statement, stream)

def bootstrap(self, *args, bootstrap=BaseProcess._bootstrap, **kwargs):
    try:
        return bootstrap(self, *args, **kwargs)
    finally:
        testify()

BaseProcess._bootstrap = bootstrap
atexit.register(testify)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    with graph_repository(tmp_path_factory.mktemp("repo")) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [["-j", "1"], ["-j", "2", "--start-method", "spawn"], ["-j", "2", "--start-method", "forkserver"]],
    ids=" ".join,
)
def test_pipetask_run_qbb(options: list[str], prepared: tuple[Path, int], tmp_path: Path) -> None:
    graph, quanta = prepared
    repo = tmp_path / "repo"
    shutil.copytree(graph.parent, repo)
    statements = tmp_path / "statements"
    statements.mkdir()
    env = with_path(write(tmp_path / "site", {"sitecustomize.py": WITNESS}), WITNESS=str(statements))
    env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + env["PATH"]

    def outputs() -> int:
        return sum(path.is_file() for path in (repo / "output_run").rglob("*"))

    before = outputs()
    done = run_exec("--require", "pipetask", "run-qbb", *options, repo, repo / graph.name, env=env)
    assert done.returncode == 0, done.stderr
    assert outputs() - before == 3 * quanta

    said = [json.loads(path.read_text()) for path in statements.iterdir()]
    with_butler = [statement for statement in said if statement["butler"]]
    workers = [statement for statement in with_butler if statement["worker"]]
    assert len(with_butler) == len(workers) + 1
    assert len(workers) == (0 if options == ["-j", "1"] else quanta)
    for statement in with_butler:
        assert (statement["butler"], statement["executor"]) == (OURS, OURS)


@pytest.mark.slow
def test_pipetask_run_says_that_it_logs_nothing(tmp_path: Path) -> None:
    root, logs = tmp_path / "repo", tmp_path / "logs"
    env = {**os.environ, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
    with graph_repository(root) as (graph, quanta):
        command = ["pipetask", "run", "-b", root, "-g", graph, "--output-run", "output_run"]
        done = run_exec("--provenance-log", logs, *command, "--register-dataset-types", env=env)
    assert done.returncode == 0, done.stderr
    assert f"Executed {quanta} quanta successfully" in done.stderr
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("quantum-butler exec")]
    assert (
        f" {quanta} quanta were run with a full butler, and so nothing of them is logged in {logs}; " in told
    )
    assert os.listdir(logs) == []
