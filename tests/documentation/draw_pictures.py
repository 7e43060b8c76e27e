"""The pictures of README, drawn from the run of the tutorial.

``python tests/documentation/draw_pictures.py`` makes the example, runs it, and draws them anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"

STEPS = (
    "quantum-butler demo --tutorial .",
    "quantum-butler run repo graph.qg --jobs 2 --logs logs || test $? = 1",
    "cp -r copy/. repo/",
    "quantum-butler run repo graph.qg --jobs 2 --logs logs --retry-failed || test $? = 1",
    "quantum-butler collect graph.qg logs --output campaign",
)
SHOWN = (
    "quantum-butler find campaign --status failed --status 'not seen'",
    "quantum-butler show campaign coadd patch=2",
)
DRAWN = "quantum-butler lineage campaign coadd_image patch=1 --format svg"


def told(command: str, folder: Path) -> str:
    """Run a command, and return what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def draw(folder: Path) -> None:
    """Draw the pictures of a folder with the archive of the tutorial."""
    (PICTURES / "lineage.svg").write_text(told(DRAWN, folder))
    console = Console(record=True, file=StringIO(), width=118, color_system="truecolor")
    for command in SHOWN:
        prompt, *words = "$", *shlex.split(command)
        console.print(Text.assemble((f"{prompt} ", "green"), (" ".join(map(shlex.quote, words)), "bold")))
        for line in told(command, folder).splitlines():
            console.print(Text(line if len(line) <= 118 else f"{line[:115]}..."))
        console.print()
    # Fonts are the reader's own: the picture loads nothing.
    picture = console.export_svg(title="quantum-butler", unique_id="terminal")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = "".join(f"{line.rstrip()}\n" for line in picture.splitlines())
    (PICTURES / "terminal.svg").write_text(picture)


def main() -> None:
    """Draw them from a new run, or from the folder that is named."""
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        for step in STEPS:
            told(step, Path(name))
        draw(Path(name))


if __name__ == "__main__":
    main()
