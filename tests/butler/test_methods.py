"""The butler is one class to its users, whatever classes its methods are written in."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from quantum_butler import QuantumBackedButler

OURS = [cls for cls in QuantumBackedButler.__mro__ if cls.__module__.startswith("quantum_butler.")]
METHODS = sorted(
    {name for cls in OURS for name, value in vars(cls).items() if inspect.isfunction(value)} - {"__init__"}
)


def test_there_are_several_classes() -> None:
    assert len(OURS) == 5
    assert {"get", "put", "close", "record_metrics", "extract_provenance_data"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_butlers(name: str) -> None:
    method: Any = getattr(QuantumBackedButler, name)
    assert (method.__module__, method.__qualname__) == (
        QuantumBackedButler.__module__,
        f"QuantumBackedButler.{name}",
    )
    assert pickle.loads(pickle.dumps(method)) is method
    with pytest.raises(TypeError, match=rf"^QuantumBackedButler\.{name}\(\)"):
        method(no_such_option=1)


def test_the_constructor_is_the_butlers() -> None:
    with pytest.raises(TypeError, match=r"^QuantumBackedButler\.__init__\(\) missing"):
        QuantumBackedButler()  # type: ignore[call-arg]
