"""A block that doesn't do what its page says fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs import commands
from tests.docs.blocks import LANGUAGES, ROOT, check_excerpt
from tests.docs.reader import Reader


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def test_names_and_variables_last_from_block_to_block(reader: Reader) -> None:
    assert reader.run_python("import asyncio\nnumber = 1", "here") is None
    assert (
        reader.run_python("await asyncio.sleep(0)\nassert number == 1", "here") is None
    )
    reader.run("export NUMBER=2")
    reader.run("echo number $NUMBER; false; true")
    reader.expect(["number 7", "nu…"])


def test_what_fails_is_told(reader: Reader) -> None:
    failure = reader.run_python("nothing_of_that_name", "docs/page.md:7")
    assert failure is not None
    assert "NameError" in failure
    assert "docs/page.md:7" in failure
    with pytest.raises(AssertionError, match="false"):
        reader.run("false")
    with pytest.raises(AssertionError, match="ended without a word"):
        reader.begin("true")
    reader.run("echo this")
    with pytest.raises(AssertionError, match="that"):
        reader.expect(["that"])


def test_what_a_page_shows_to_fail_has_to_fail(reader: Reader) -> None:
    commands.follow(reader, "false", fails=True)
    with pytest.raises(AssertionError, match="true"):
        commands.follow(reader, "true", fails=True)


def test_a_diff_is_applied_to_the_readers_own_files(reader: Reader) -> None:
    def change(name: str) -> str:
        return f"""\
--- a/examples/{name}
+++ b/examples/{name}
@@ -2,2 +2,3 @@
 [pytest]
+# a line of the page's
 asyncio_mode = auto
"""

    LANGUAGES["diff"](reader, change("pytest.ini"), None)  # type: ignore[arg-type]
    assert "of the page's" in (reader.desk / "examples/pytest.ini").read_text()
    assert "of the page's" not in (ROOT / "examples/pytest.ini").read_text()
    with pytest.raises(AssertionError, match="git apply"):
        LANGUAGES["diff"](reader, change("files.py"), None)  # type: ignore[arg-type]


def test_an_excerpt_is_in_its_file_as_it_stands() -> None:
    shown = "async with Emulator(engine, faults=map(fault, faults)) as server:\n"
    check_excerpt("examples/test_agent.py", shown)
    for other in (shown.replace("faults)", "fault)"), f"    {shown}", f"{shown}\n"):
        with pytest.raises(AssertionError, match="not in examples"):
            check_excerpt("examples/test_agent.py", other)


def test_a_server_that_does_not_come_up_is_told(reader: Reader) -> None:
    with pytest.raises(AssertionError):
        commands.follow(reader, "uvicorn examples.nothing:app")


def test_nothing_leaves_the_machine(reader: Reader) -> None:
    source = """
import socket
try:
    socket.create_connection(("192.0.2.1", 443), timeout=1)
except OSError as exc:
    assert "unreachable" in str(exc), exc
"""
    assert reader.run_python(source, "here") is None


@pytest.mark.parametrize(
    "command",
    [
        "pip install '.[cli,nothing]'",
        "pip install '.[cli]' nothing-of-that-name",
        "pip install another-package",
        "make nothing",
        "make test NOTHING=1",
        "docker build --file examples/fleet/Nothing .",
        "kubectl apply --filename examples/nothing.yaml",
        "aai-stream bench --nothing",
        "python -m benchmarks.density --nothing",
    ],
)
def test_what_is_not_run_is_checked(reader: Reader, command: str) -> None:
    with pytest.raises(AssertionError):
        commands.follow(reader, command)


def test_every_rule_has_a_command() -> None:
    """Of the pages: one that has none any more goes, too."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    told = "".join(page.read_text() for page in pages)
    assert [r.prefix for r in commands.NOT_RUN if f"$ {r.prefix}" not in told] == []
    assert [name for name in commands.LASTING if f"$ {name}" not in told] == []


@pytest.mark.parametrize(
    ("language", "data"),
    [("json", "{"), ("yaml", "{"), ("ini", "no name and no value")],
)
def test_data_is_parsed(language: str, data: str) -> None:
    with pytest.raises(Exception, match=r"."):
        LANGUAGES[language](None, data, None)  # type: ignore[arg-type]
