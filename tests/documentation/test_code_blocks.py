"""No page shows a command, an option, a name or a document that does not exist."""

from __future__ import annotations

import ast
import importlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator

import click
import pytest
import yaml

from pages import ROOT, Block, blocks_of, pages
from quantum_butler.cli.main import main
from shell_lines import commands_of, parse

BLOCKS = [block for page in pages() for block in blocks_of(page)]
OUTPUT = {"text", "sql"}
"""Languages of what is not ours, or is executed elsewhere."""

_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]+")

ELSEWHERES = {
    # of pipetask
    "--clobber-outputs",
    "--coverage",
    "--pdb",
    "--skip-existing",
    "--start-method",
    # of bps
    "--hist",
    "--id",
    # of our tests
    "--against",
}
"""Options on our pages that are other programs'."""


def of(*languages: str) -> list[Block]:
    found = [block for block in BLOCKS if block.language in languages]
    assert found
    return found


def test_every_block_has_a_language_that_is_looked_at() -> None:
    known = {"sh", "python", "yaml", "json", "jsonl", "toml", *OUTPUT}
    for block in BLOCKS:
        assert block.language in known or block.language.startswith("{"), block.where
    assert Counter(block.language for block in BLOCKS)["sh"] > 30


def test_commands_exist_and_take_these_options() -> None:
    seen = set()
    for block in of("sh", "text"):
        is_shown = block.language == "sh" or "$ quantum-butler" in block.text
        for command in commands_of(block.text) if is_shown else ():
            if command.words[0] != "quantum-butler":
                continue
            try:
                seen.add(parse(command.words[1:]).name)
            except click.UsageError as error:
                pytest.fail(f"{block.page}:{block.line + 1 + command.line}: {error.format_message()}")
    assert seen >= {"run", "exec", "collect", "report", "transfer"}


def inline_code() -> Iterator[tuple[str, str]]:
    """Yield what is in code in the text of pages, with its place."""
    for page in pages():
        text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for found in _INLINE.finditer(text):
            yield f"{page.relative_to(ROOT)}: `{found[1]}`", found[1]


def names_of(command: click.Command) -> set[str]:
    """Return the options of a command."""
    return {"--help"}.union(*([*one.opts, *one.secondary_opts] for one in command.params))


def test_commands_and_options_within_the_text_exist() -> None:
    every = names_of(main).union(*map(names_of, main.commands.values()))
    seen = 0
    for where, code in inline_code():
        words = code.removeprefix("quantum-butler ").split()
        if code.startswith("quantum-butler ") and not words[0].startswith("-"):
            assert words[0] in main.commands, where
        if words[0] in main.commands and words[0] not in ("exec", "env"):
            known = names_of(main.commands[words[0]])
        elif len(words) <= 2 and words[0].startswith("--"):
            known = every | ELSEWHERES
        else:
            continue
        for option in _OPTION.findall(code):
            assert option in known, where
            seen += 1
    assert seen > 50


def test_python_compiles_and_imports_what_is_there() -> None:
    imported = 0
    for block in of("python"):
        tree = ast.parse(block.text, block.where)
        compile(tree, block.where, "exec")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                for name in node.names:
                    assert hasattr(module, name.name), f"{block.where}: {node.module}.{name.name}"
                    imported += 1
            elif isinstance(node, ast.Import):
                for name in node.names:
                    importlib.import_module(name.name)
    assert imported


@pytest.mark.parametrize(
    ("languages", "load"),
    [
        (("yaml",), yaml.safe_load),
        (("json",), json.loads),
        (("jsonl",), lambda text: [json.loads(line) for line in text.splitlines()]),
        (("toml",), tomllib.loads),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_documents_are_read(languages: tuple[str, ...], load: Callable[[str], object]) -> None:
    for block in (block for block in BLOCKS if block.language in languages):
        try:
            assert load(block.text), block.where
        except ValueError as error:
            pytest.fail(f"{block.where}: {error}")


@pytest.mark.parametrize(
    "line",
    [
        "quantum-butler collect logs --outptu campaign",
        "quantum-butler colect logs",
        "X=1 quantum-butler stats campaign --format xml | less",
        "ls && quantum-butler stats",
        "$ quantum-butler run REPO GRAPH --retries many",
    ],
)
def test_the_guard_sees_what_does_not_exist(line: str) -> None:
    command = next(one for one in commands_of(line) if one.words[0] == "quantum-butler")
    with pytest.raises(click.UsageError):
        parse(command.words[1:])
