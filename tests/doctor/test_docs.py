"""docs/doctor.md lists the questions that are asked."""

from __future__ import annotations

from pathlib import Path

from aai_stream.doctor.conformance import every_question

DOCS = Path(__file__).parents[2] / "docs/doctor.md"


def test_every_question_is_in_the_docs() -> None:
    table = DOCS.read_text().partition("| question | expected |")[2]
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| ")]
    listed = [row[0].removeprefix("| ") for row in rows]
    assert listed == [question.name for question in every_question]
    for row, question in zip(rows, every_question, strict=True):
        expected = row[1].removesuffix(" |")
        if expected != "one of v3's models":
            assert expected == " or ".join(question.expected)
