"""A session's behaviour follows the model that its Begin names."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from aai_stream.errors import OptionError
from tests.servers import within
from tests.talks import SECOND, Act, Server, Talk, collect, connect, turn, turns_of

U3 = "universal-3-6-pro"
ENGLISH = "universal-streaming-english"
MULTILINGUAL = "universal-streaming-multilingual"

RAW = turn(0, ("hi", 200, 400), end_of_turn=True)
FORMATTED = turn(0, ("Hi.", 200, 400), end_of_turn=True, turn_is_formatted=True)


def says(*told: dict[str, Any], model: str | None) -> Act:
    """Begin with that model, tell all that."""

    async def act(talk: Talk) -> None:
        await talk.begin(configuration={"model": model})
        await talk.hear(500)
        await talk.say(*told)
        await talk.finish()

    return act


@pytest.mark.parametrize(
    ("asked", "model", "finals"),
    [
        (ENGLISH, ENGLISH, ["Hi."]),
        (None, ENGLISH, ["Hi."]),
        (ENGLISH, None, ["Hi."]),
        (ENGLISH, U3, ["hi"]),
        (None, U3, ["hi"]),
        (None, None, ["hi"]),
    ],
)
async def test_which_turn_is_final(
    asked: str | None, model: str | None, finals: list[str]
) -> None:
    server = Server(says(RAW, FORMATTED, model=model))
    options: dict[str, Any] = {"speech_model": asked, "format_turns": True}
    async with server.serve() as url, connect(base_url=url, **options) as stream:
        stream.push(SECOND)
        await within(5, stream.end())
        turns = turns_of(await collect(stream))
    assert [one.transcript for one in turns if one.is_final][:1] == finals


async def test_another_model_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(says(model=ENGLISH))
    async with (
        server.serve() as url,
        connect(base_url=url, speech_model=U3, prompt="a clinic", api_key="a key"),
    ):
        pass
    assert [r.getMessage() for r in caplog.records] == [
        f"session session-1: the session's model is {ENGLISH}, but {U3} was asked for",
        f"session session-1: {ENGLISH} does not take: prompt",
    ]


async def test_a_model_s_name_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(says(model="echo of swordfish" + 500 * "!"))
    async with (
        server.serve() as url,
        connect(base_url=url, speech_model=U3, api_key="swordfish"),
    ):
        pass
    (record,) = caplog.records
    assert "echo of ***!" in record.getMessage()
    assert len(record.getMessage()) < 350


async def test_a_live_update_is_for_the_session_s_model() -> None:
    server = Server(says(model=ENGLISH))
    async with server.serve() as url, connect(base_url=url) as stream:
        with pytest.raises(OptionError, match=f"prompt does not work with .*{ENGLISH}"):
            stream.update(prompt="a clinic", vad_threshold=0.5)
        stream.update(end_of_turn_confidence_threshold=0.5)
        stream.push(SECOND)
        await within(5, stream.end())
    assert server.talks[0].commands[0] == {
        "type": "UpdateConfiguration",
        "end_of_turn_confidence_threshold": 0.5,
    }


@pytest.mark.parametrize("name", ["language_code", "language_codes"])
async def test_multi_alone_chooses_the_multilingual_model(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(says(RAW, FORMATTED, model=MULTILINGUAL))
    options: dict[str, Any] = {name: "multi", "format_turns": True}
    if name == "language_code":
        with pytest.warns(DeprecationWarning, match="use language_codes"):
            made = connect(base_url="ws://127.0.0.1:1", **options)
        await made.aclose()
        options = {"language_codes": "multi", "format_turns": True}
    async with server.serve() as url, connect(base_url=url, **options) as stream:
        stream.push(SECOND)
        await within(5, stream.end())
        turns = turns_of(await collect(stream))
    assert [one.transcript for one in turns if one.is_final] == ["Hi."]
    assert server.talks[0].request.query["language_codes"] == '["multi"]'
    assert not caplog.records


async def test_long_key_terms_are_warned_of_without_the_term(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(says(model=U3))
    secret = "Dr. Jekyll " * 6
    async with (
        server.serve() as url,
        connect(base_url=url, keyterms_prompt=[secret, "Zoe"]) as stream,
    ):
        stream.update(keyterms_prompt=secret)
        stream.update(keyterms_prompt=["Zoe"])
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert told == 2 * [
        "keyterms_prompt has 1 of more than 50 characters, which AssemblyAI may not use"
    ]
    assert server.talks[0].request.query["keyterms_prompt"] == f'["{secret}","Zoe"]'
