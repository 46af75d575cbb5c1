"""Makes of this tree what the Dockerfile makes of it: what is left out there is missing here."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from config.env import BASE_DIR

DOCKERFILE = BASE_DIR / "Dockerfile"
IGNORE_FILE = BASE_DIR / ".dockerignore"
VENV_BIN = Path(sys.executable).parent


def stages() -> list[list[str]]:
    """The Dockerfile's instructions, stage by stage, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    ends = [*starts[1:], len(lines)]
    return [lines[start:end] for start, end in zip(starts, ends, strict=True)]


def instructions(name: str) -> list[str]:
    """The arguments of every `name` instruction of the final stage."""
    return [line.removeprefix(f"{name} ") for line in stages()[-1] if line.startswith(f"{name} ")]


def environment() -> dict[str, str]:
    """The final stage's ENV, without PATH."""
    pairs = (word.split("=", 1) for line in instructions("ENV") for word in shlex.split(line))
    return {name: value for name, value in pairs if name != "PATH"}


def build(directory: Path) -> None:
    """Copy into `directory` what the final stage copies, and gather the static files there.

    Raises CalledProcessError when the Dockerfile's own collectstatic line fails.
    """
    for source, target in _copies():
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, directory / target, ignore=ignored)
        else:
            shutil.copy(source, directory / target)
    (collect,) = (line for line in instructions("RUN") if "collectstatic" in line)
    run_environment = process_environment({})
    subprocess.run(
        ["sh", "-c", collect], cwd=directory, env=run_environment, check=True, capture_output=True
    )


def process_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What a process of a container sees: the image's ENV, then `variables`; nothing of ours."""
    return {"PATH": f"{VENV_BIN}:/usr/bin:/bin", **environment(), **variables}


def _copies() -> Iterator[tuple[Path, str]]:
    for line in instructions("COPY"):
        words = shlex.split(line)
        if words[0].startswith("--from"):
            continue
        *sources, target = words
        for source in sources:
            yield BASE_DIR / source, Path(source).name if target == "./" else target
