"""What users may rely on changes knowingly: ``api.txt`` is renewed by `make api`, and reviewed."""

from __future__ import annotations

import api

import quantum_butler


def test_the_api_is_what_was_agreed() -> None:
    agreed = api.SNAPSHOT.read_text().splitlines()
    today = api.describe().splitlines()
    gone = [line for line in agreed if line not in today]
    new = [line for line in today if line not in agreed]
    assert today == agreed, "\n".join(
        ["`make api` writes this:", *(f"-{x}" for x in gone), *(f"+{x}" for x in new)]
    )


def test_everything_is_in_it() -> None:
    text = api.SNAPSHOT.read_text()
    for name in quantum_butler.__all__:
        assert f"\n{name}" in f"\n{text}" or f"class {name}" in text, name
    # Methods and their parameters, bases of exceptions, commands and options.
    assert "    QuantumBackedButler.put(self, obj" in text
    assert "class ClosedButlerError(QuantumButlerError, RuntimeError" in text
    assert "quantum-butler collect\n" in text
    assert text.count("\n    option --") > 10


def test_our_exceptions_have_one_base_and_a_familiar_one() -> None:
    exceptions = [
        value
        for name in quantum_butler.__all__
        if isinstance(value := getattr(quantum_butler, name), type) and issubclass(value, Exception)
    ]
    assert len(exceptions) > 10
    base = quantum_butler.QuantumButlerError
    assert [cls for cls in exceptions if not issubclass(cls, base)] == []
    for cls in exceptions:
        familiar = {above.__module__.partition(".")[0] for above in cls.__mro__[1:-3]} - {"quantum_butler"}
        assert familiar or cls is base, cls
