"""`install` and `uninstall`: who gets which class, before, after and meanwhile."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import lsst.ctrl.mpexec.cli.script.run_qbb
import lsst.daf.butler
import pytest

import quantum_butler.butler.butler
import quantum_butler.quantum.provenance
from quantum_butler import install, uninstall

NAMES = ("QuantumBackedButler", "QuantumProvenanceData")
STOCK = {name: getattr(lsst.daf.butler, name) for name in NAMES}
OURS = {
    "QuantumBackedButler": quantum_butler.butler.butler.QuantumBackedButler,
    "QuantumProvenanceData": quantum_butler.quantum.provenance.QuantumProvenanceData,
}


@pytest.fixture(autouse=True)
def leave_stock_behind() -> Iterator[None]:
    yield
    uninstall()
    assert {name: getattr(lsst.daf.butler, name) for name in NAMES} == STOCK


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return an empty module that counts as imported."""
    made = ModuleType("somebody_elses")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def importable(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> ModuleType:
    """Import a module made of the given source."""
    folder.joinpath(f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def upstream_globals() -> dict[tuple[str, str], object]:
    """Return every global name in an upstream module that refers to a stock class or one of ours."""
    classes = {id(cls) for cls in (*STOCK.values(), *OURS.values())}
    return {
        (module_name, name): value
        for module_name, module in list(sys.modules.items())
        if module_name.startswith("lsst.")
        for name, value in list(vars(module).items())
        if id(value) in classes
    }


def test_every_upstream_module_gets_ours_and_then_its_own_back() -> None:
    before = upstream_globals()
    for holder in (
        "lsst.daf.butler",
        "lsst.daf.butler._quantum_backed",
        "lsst.ctrl.mpexec.cli.script.run_qbb",
        "lsst.pipe.base.quantum_graph._predicted",
    ):
        assert (holder, "QuantumBackedButler") in before
    assert set(before.values()) == set(STOCK.values())

    install()
    during = upstream_globals()
    assert during.keys() == before.keys()
    assert all(value is OURS[before[where].__name__] for where, value in during.items())  # type: ignore[attr-defined]

    uninstall()
    assert upstream_globals() == before


def test_an_alias_counts(module: ModuleType) -> None:
    module.QBB = STOCK["QuantumBackedButler"]  # type: ignore[attr-defined]
    install()
    assert module.QBB is OURS["QuantumBackedButler"]
    uninstall()
    assert module.QBB is STOCK["QuantumBackedButler"]


def test_modules_imported_meanwhile_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from lsst.daf.butler import QuantumBackedButler, QuantumProvenanceData as Data\n"
    install()
    late = importable(tmp_path, monkeypatch, "imported_meanwhile", source)
    assert late.QuantumBackedButler is OURS["QuantumBackedButler"]
    assert late.Data is OURS["QuantumProvenanceData"]
    uninstall()
    assert late.QuantumBackedButler is STOCK["QuantumBackedButler"]
    assert late.Data is STOCK["QuantumProvenanceData"]


def test_who_asked_for_ours_by_name_keeps_it(module: ModuleType) -> None:
    module.QuantumBackedButler = quantum_butler.QuantumBackedButler  # type: ignore[attr-defined]
    install()
    uninstall()
    assert module.QuantumBackedButler is OURS["QuantumBackedButler"]

    module.QuantumBackedButler = STOCK["QuantumBackedButler"]  # type: ignore[attr-defined]
    install()
    uninstall()
    assert module.QuantumBackedButler is STOCK["QuantumBackedButler"]


def test_our_own_package_goes_on_seeing_the_stock_class(monkeypatch: pytest.MonkeyPatch) -> None:
    private = ModuleType("quantum_butler.made_up")
    private.Stock = STOCK["QuantumBackedButler"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, private.__name__, private)
    namesake = ModuleType("quantum_butlers")
    namesake.Stock = STOCK["QuantumBackedButler"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, namesake.__name__, namesake)
    install()
    assert private.Stock is STOCK["QuantumBackedButler"]
    assert namesake.Stock is OURS["QuantumBackedButler"]
    assert issubclass(quantum_butler.QuantumBackedButler, STOCK["QuantumBackedButler"])
    uninstall()
    assert quantum_butler.butler.butler.QuantumBackedButler is OURS["QuantumBackedButler"]


def test_both_may_be_called_again() -> None:
    uninstall()
    install()
    install()
    assert lsst.daf.butler.QuantumBackedButler is OURS["QuantumBackedButler"]
    uninstall()
    assert lsst.daf.butler.QuantumBackedButler is STOCK["QuantumBackedButler"]
    uninstall()
    assert lsst.daf.butler.QuantumBackedButler is STOCK["QuantumBackedButler"]


def test_a_second_install_reaches_what_came_to_hold_the_stock_class_since(module: ModuleType) -> None:
    install()
    module.QBB = STOCK["QuantumBackedButler"]  # type: ignore[attr-defined]
    install()
    assert module.QBB is OURS["QuantumBackedButler"]


class Untouchable(ModuleType):
    """A module that must not be asked for anything, as one that imports itself on first use."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"asked for {name}")

    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        raise AssertionError("asked for __dict__")


def test_odd_modules_are_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    class Attributes:
        QuantumBackedButler = STOCK["QuantumBackedButler"]

        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"asked for {name}")

    class Uncomparable:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = None  # type: ignore[assignment]

    lazy = Untouchable("lazy")
    ModuleType.__dict__["__dict__"].__get__(lazy).update(  # type: ignore[index]
        odd=Uncomparable(), QBB=STOCK["QuantumBackedButler"]
    )
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    monkeypatch.setitem(sys.modules, "no_module", Attributes())
    monkeypatch.setitem(sys.modules, "a_class", Attributes)
    monkeypatch.setitem(sys.modules, "blocked", None)
    install()
    assert ModuleType.__dict__["__dict__"].__get__(lazy)["QBB"] is OURS["QuantumBackedButler"]  # type: ignore[index]
    assert Attributes.QuantumBackedButler is STOCK["QuantumBackedButler"]


def test_threads_may_install_and_uninstall_at_once(module: ModuleType) -> None:
    module.QBB = STOCK["QuantumBackedButler"]  # type: ignore[attr-defined]
    errors: list[BaseException] = []
    start = threading.Barrier(4)

    def flip() -> None:
        try:
            start.wait(30)
            for _ in range(4):
                install()
                uninstall()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=flip) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert module.QBB is STOCK["QuantumBackedButler"]
    assert set(upstream_globals().values()) == set(STOCK.values())
    install()
    assert module.QBB is OURS["QuantumBackedButler"]
    assert set(upstream_globals().values()) == set(OURS.values())


def some_provenance(cls: type) -> object:
    """Return provenance with something in each field."""
    record = {"dataset_ids": [], "records": {}}
    ids = [{uuid.UUID(int=10 * field + i) for i in range(3)} for field in range(5)]
    return cls(
        predicted_inputs=ids[0],
        available_inputs=ids[1],
        actual_inputs=ids[2],
        predicted_outputs=ids[3],
        actual_outputs=ids[4],
        datastore_records={"FileDatastore@<butlerRoot>": record},
    )


def test_our_provenance_pickles_under_our_name_whatever_is_installed() -> None:
    install()
    provenance = some_provenance(lsst.daf.butler.QuantumProvenanceData)
    pickled = pickle.dumps(provenance)
    assert b"quantum_butler.quantum.provenance" in pickled
    for change in (uninstall, install):
        change()
        loaded = pickle.loads(pickled)
        assert type(loaded) is OURS["QuantumProvenanceData"]
        assert loaded == provenance


def test_provenance_that_the_stock_class_pickled_loads_as_ours() -> None:
    stock = some_provenance(STOCK["QuantumProvenanceData"])
    pickled = pickle.dumps(stock)
    install()
    loaded = pickle.loads(pickled)
    assert type(loaded) is OURS["QuantumProvenanceData"]
    assert loaded.model_dump() == stock.model_dump()  # type: ignore[attr-defined]


FIRST = "import quantum_butler; quantum_butler.install()"


@pytest.mark.parametrize(
    "code",
    [
        f"{FIRST}; from lsst.daf.butler import QuantumBackedButler",
        f"from lsst.daf.butler import *; {FIRST}",
    ],
    ids=["before upstream", "after upstream"],
)
def test_in_a_script(code: str) -> None:
    tell = "print(QuantumBackedButler.__module__)"
    code = f"{code}\n{tell}\nquantum_butler.uninstall()\n{tell}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["quantum_butler.butler.butler", "lsst.daf.butler._quantum_backed"]


def test_uninstall_does_not_import_upstream() -> None:
    code = "import sys, quantum_butler; quantum_butler.uninstall(); print('lsst.daf.butler' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
