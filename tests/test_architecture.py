"""The picture of the house, docs/architecture.md, shows the house as it is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def shown() -> list[str]:
    """The files in the list of rooms, in its order."""
    block = PAGE.split("## Rooms", 1)[1].split("```", 2)[1]
    folders: list[str] = []
    files = []
    for line in block.strip().splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders[depth:] = [name] if name.endswith("/") else []
        if not name.endswith("/"):
            files.append("".join(folders) + name)
    return files


def test_every_module_has_its_line_and_every_line_its_module() -> None:
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.suffix in (".py", ".pyx", ".pxd", ".pxi") and path.name != "__init__.py"
        if "egg-info" not in path.as_posix()
    }
    assert sorted(shown()) == sorted(there)


def test_names_in_the_text_exist() -> None:
    """What the three ways name can be found."""
    section = PAGE.split("## Three ways through it", 1)[1].split("\n## ", 1)[0]
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    core = (ROOT / "src" / "_core.pyx").read_text()
    names = set(re.findall(r"\b([A-Z][a-zA-Z]+)\.([a-z_]+)\b", section))
    assert len(names) > 10
    for owner, member in names:
        assert f"class {owner}" in source + core, owner
        assert re.search(rf"(def |    |self\.){member}\b", source), member
