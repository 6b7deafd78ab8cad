"""The parameter table and what comes from it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream.errors import OptionError
from aai_stream.messages import Turn
from aai_stream.models import DEFAULT_MODEL, is_universal_3
from aai_stream.options import Options
from aai_stream.parameters import PARAMETERS, RENAMED

U3 = "universal-3-6-pro"
US = "universal-streaming-english"
MULTILINGUAL = "universal-streaming-multilingual"


def test_the_table_has_every_parameter_of_the_reference() -> None:
    live = {name for name, parameter in PARAMETERS.items() if parameter.live}
    assert live == {
        "min_turn_silence",
        "max_turn_silence",
        "interruption_delay",
        "continuous_partials",
        "vad_threshold",
        "end_of_turn_confidence_threshold",
        "format_turns",
        "keyterms_prompt",
        "prompt",
        "agent_context",
        "language_codes",
        "filter_profanity",
        "session_heartbeat",
        "acknowledge_silence",
        "turn_left_pad_ms",
    }
    assert PARAMETERS.keys() - live == {
        "speech_model",
        "sample_rate",
        "encoding",
        "mode",
        "previous_context_n_turns",
        "language_detection",
        "speaker_labels",
        "max_speakers",
        "speaker_labels_revision_interval_ms",
        "voice_focus",
        "voice_focus_threshold",
        "domain",
        "redact_pii",
        "redact_pii_policies",
        "redact_pii_sub",
        "include_partial_turns",
        "inactivity_timeout",
        "llm_gateway",
        "webhook_url",
        "webhook_auth_header_name",
        "webhook_auth_header_value",
        "customer_support_audio_capture",
    }


def test_the_query_is_written_as_the_server_reads_it() -> None:
    options = Options(
        {
            "speech_model": U3,
            "sample_rate": 16000,
            "vad_threshold": 0.5,
            "speaker_labels": True,
            "language_detection": False,
            "keyterms_prompt": ["Zürich", "AT&T"],
            "llm_gateway": {"model": "m", "max_tokens": 5},
            "prompt": None,
            "agent_context": "",
            "language_codes": [],
        }
    )
    assert options.query() == {
        "speech_model": U3,
        "sample_rate": "16000",
        "vad_threshold": "0.5",
        "speaker_labels": "true",
        "language_detection": "false",
        "keyterms_prompt": '["Zürich","AT&T"]',
        "llm_gateway": '{"model":"m","max_tokens":5}',
    }
    back = parse_qs(urlencode(options.query()))
    assert json.loads(back["keyterms_prompt"][0]) == ["Zürich", "AT&T"]


def test_extra_params_go_through_unchecked_and_win() -> None:
    extra = {"brand_new": True, "vad_threshold": 7, "some_list": [1]}
    options = Options({"vad_threshold": 0.5}, extra)
    assert options.query() == {
        "vad_threshold": "7",
        "brand_new": "true",
        "some_list": "[1]",
    }


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"speach_model": "x"}, "'speach_model' .did you mean 'speech_model'"),
        ({"sample_rate": 7999}, "from 8000 to 96000, not 7999"),
        ({"sample_rate": 16000.0}, "a whole number, not 16000.0"),
        ({"sample_rate": True}, "a whole number, not True"),
        ({"encoding": "mp3"}, "pcm_s16le"),
        ({"encoding": "pcm_ulaw"}, "not 'pcm_ulaw' .did you mean 'pcm_mulaw'"),
        ({"vad_threshold": 1.01}, "from 0 to 1, not 1.01"),
        ({"vad_threshold": float("nan")}, "from 0 to 1, not nan"),
        ({"vad_threshold": "0.5"}, "a number, not '0.5'"),
        ({"min_turn_silence": -1}, "at least 0, not -1"),
        ({"interruption_delay": 1001}, "from 0 to 1000"),
        ({"speaker_labels": 1}, "true or false, not 1"),
        ({"keyterms_prompt": ["x"] * 101}, "101 items; at most 100"),
        ({"keyterms_prompt": [""]}, "not empty"),
        ({"keyterms_prompt": 0}, "a list of strings"),
        ({"prompt": "x" * 1751}, "1751 characters long; at most 1750"),
        ({"agent_context": 5}, "a string, not 5"),
        ({"language_codes": ["en"] * 11}, "11 items; at most 10"),
        ({"language_codes": ["multi", "en"]}, "multi"),
        ({"language_codes": ["en-US"]}, "ISO 639-1 codes such as en"),
        ({"max_speakers": 11}, "from 1 to 10"),
        ({"speaker_labels_revision_interval_ms": 119_999}, "at least 120000"),
        ({"inactivity_timeout": 4}, "from 5 to 3600"),
        ({"llm_gateway": "x"}, "a JSON object"),
        ({"speech_model": US, "prompt": "x"}, "prompt does not work with"),
        ({"speech_model": US, "language_detection": True}, "language_detection"),
        ({"speech_model": U3, "format_turns": True}, "format_turns does not work with"),
        (
            {"speech_model": U3, "end_of_turn_confidence_threshold": 0.5},
            "does not work",
        ),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(
    values: dict[str, Any], says: str
) -> None:
    with pytest.raises(OptionError, match=says):
        Options(values)


def test_models_that_we_do_not_know_take_everything() -> None:
    Options({"speech_model": "universal-9", "prompt": "x", "format_turns": True})


def test_the_account_s_own_model_is_not_known_before_begin() -> None:
    """So what is for one family or the other can't be refused."""
    options = Options({"prompt": "x", "format_turns": True})
    assert options.asked_model is None
    after, _ = options.updated({"end_of_turn_confidence_threshold": 0.5})
    assert after.query().keys() >= {"prompt", "format_turns"}


def test_a_model_named_by_extra_params_is_asked_for() -> None:
    with pytest.raises(OptionError, match=f"prompt does not work with .*{US}"):
        Options({"prompt": "x"}, {"speech_model": US})


@pytest.mark.parametrize(
    ("model", "is_it"),
    [
        ("universal-3-6-pro", True),
        ("u3-rt-pro-beta-7", True),
        ("universal-4", True),
        ("universal-streaming-english", False),
        ("universal-streaming-multilingual", False),
        ("universal-streaming-klingon", False),
    ],
)
def test_a_model_s_family_is_known_by_its_name(model: str, is_it: bool) -> None:
    assert is_universal_3(model) is is_it


@pytest.mark.parametrize(
    ("values", "configuration", "model"),
    [
        ({"speech_model": US}, {"model": U3}, U3),
        ({}, {"model": US}, US),
        ({"speech_model": US}, {}, US),
        ({"speech_model": US}, {"model": None}, US),
        ({}, {"model": 3}, DEFAULT_MODEL),
        ({}, {}, DEFAULT_MODEL),
        ({"speech_model": ""}, {}, DEFAULT_MODEL),
        ({"language_codes": ["multi"]}, {}, MULTILINGUAL),
        ({"language_codes": ["multi"]}, {"model": U3}, U3),
        ({"language_codes": ["multi"], "speech_model": U3}, {}, U3),
        ({"language_codes": ["de"]}, {}, DEFAULT_MODEL),
    ],
)
def test_a_session_s_model_is_the_one_that_it_tells(
    values: dict[str, Any], configuration: dict[str, Any], model: str
) -> None:
    assert Options(values).model(configuration) == model


@pytest.mark.parametrize("formatted", [False, True])
@pytest.mark.parametrize("format_turns", [None, False, True])
def test_a_universal_3_turn_is_final_when_it_has_ended(
    formatted: bool, format_turns: bool | None
) -> None:
    options = Options({"format_turns": format_turns})
    ended = Turn(end_of_turn=True, turn_is_formatted=formatted)
    assert options.is_final(ended, U3)
    assert not options.is_final(Turn(turn_is_formatted=formatted), U3)
    assert not options.formats_turns(U3)


@pytest.mark.parametrize(
    ("format_turns", "end_of_turn", "formatted", "is_final"),
    [
        (False, True, False, True),
        (False, True, True, True),
        (False, False, False, False),
        (True, True, False, False),
        (True, True, True, True),
        (True, False, True, False),
    ],
)
def test_a_universal_streaming_turn_is_final_when_it_is_formatted_if_it_will_be(
    format_turns: bool, end_of_turn: bool, formatted: bool, is_final: bool
) -> None:
    for options in (
        Options({"format_turns": format_turns}),
        Options({}, {"format_turns": format_turns}),
    ):
        turn = Turn(end_of_turn=end_of_turn, turn_is_formatted=formatted)
        assert options.is_final(turn, US) is is_final
        assert options.formats_turns(US) is format_turns


@pytest.mark.parametrize("length", [50, 51, 200])
def test_long_key_terms_are_sent_and_counted(length: int) -> None:
    """AssemblyAI documents a limit; the service took 200."""
    terms = ["x" * length, "short", "y" * length]
    assert json.loads(Options({"keyterms_prompt": terms}).query()["keyterms_prompt"])
    told = PARAMETERS["keyterms_prompt"].too_long(terms)
    if length <= 50:
        assert told is None
    else:
        assert told is not None
        assert "keyterms_prompt has 2 of more than 50 characters" in told
        assert "xx" not in told


def test_modes_are_open() -> None:
    assert Options({"mode": "warp"}).query() == {"mode": "warp"}


@pytest.mark.parametrize(
    ("private", "value"),
    [
        ("prompt", b"my secret"),
        ("agent_context", ("my secret",)),
        ("keyterms_prompt", {"my secret"}),
        ("keyterms_prompt", [("my secret",)]),
        ("llm_gateway", "my secret"),
        ("webhook_url", ["my secret"]),
        ("webhook_auth_header_value", b"my secret"),
    ],
)
def test_errors_do_not_quote_what_is_private(private: str, value: object) -> None:
    with pytest.raises(OptionError, match=private) as caught:
        Options({private: value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("old", RENAMED)
def test_old_names_are_today_s_with_a_warning(old: str) -> None:
    new = RENAMED[old]
    value: Any = {"language_codes": "en", "voice_focus": "near-field"}.get(new, 1)
    with pytest.warns(DeprecationWarning, match=f"{old} is deprecated, use {new}"):
        renamed = Options({old: value})
    assert renamed.query() == Options({new: value}).query()


def test_today_s_name_wins_over_the_old_one() -> None:
    with pytest.warns(DeprecationWarning, match="use min_turn_silence"):
        options = Options(
            {"min_turn_silence": 1, "min_end_of_turn_silence_when_confident": 2}
        )
    assert options.query() == {"min_turn_silence": "1"}


def test_a_live_change_makes_its_message_and_new_options() -> None:
    before = Options({"speech_model": U3, "prompt": "old", "vad_threshold": 0.5})
    after, message = before.updated({"prompt": "", "keyterms_prompt": ["a"]})
    assert message == {
        "type": "UpdateConfiguration",
        "prompt": "",
        "keyterms_prompt": ["a"],
    }
    assert after.query() == {
        "speech_model": U3,
        "vad_threshold": "0.5",
        "keyterms_prompt": '["a"]',
    }
    assert before.query()["prompt"] == "old"


@pytest.mark.parametrize(
    ("live", "says"),
    [
        ({"speech_model": US}, "speech_model can't be changed"),
        ({"mode": "balanced"}, "mode can't be changed"),
        ({"format_turns": True}, "does not work with"),
        ({"prompt": "x", "vad_threshold": 2}, "vad_threshold"),
        ({"nonsense": 1}, "nonsense"),
        ({"promt": "x"}, "did you mean 'prompt'"),
    ],
)
def test_a_bad_live_change_changes_nothing(live: dict[str, Any], says: str) -> None:
    options = Options({"speech_model": U3, "prompt": "old"})
    with pytest.raises(OptionError, match=says):
        options.updated(live)
    assert options.query() == {"speech_model": U3, "prompt": "old"}


@pytest.mark.parametrize(
    ("values", "extra", "live", "told", "says"),
    [
        ({}, {}, {"prompt": "x"}, US, f"prompt does not work with .*{US}"),
        ({}, {}, {"prompt": "x"}, U3, None),
        ({}, {}, {"format_turns": True}, U3, f"format_turns does not .*{U3}"),
        ({"speech_model": U3}, {}, {"format_turns": True}, US, None),
        ({"speech_model": U3}, {}, {"prompt": "x"}, US, f"prompt does not .*{US}"),
        ({"speech_model": U3}, {}, {"format_turns": True}, None, U3),
        ({}, {"speech_model": U3}, {"format_turns": True}, None, U3),
        ({}, {}, {"language_codes": ["multi"]}, MULTILINGUAL, None),
        ({}, {}, {"language_codes": ["de"]}, MULTILINGUAL, "language_codes does not"),
    ],
)
def test_a_live_change_is_for_the_model_that_the_session_tells(
    values: dict[str, Any],
    extra: dict[str, Any],
    live: dict[str, Any],
    told: str | None,
    says: str | None,
) -> None:
    options = Options(values, extra)
    if says is None:
        assert options.updated(live, told)[1] == {"type": "UpdateConfiguration", **live}
    else:
        with pytest.raises(OptionError, match=says):
            options.updated(live, told)


@pytest.mark.parametrize(
    ("values", "configuration", "found"),
    [
        ({"speech_model": U3, "mode": "warp"}, {"model": U3, "mode": "warp"}, []),
        ({"speech_model": U3}, {}, []),
        ({}, {"model": US, "mode": None}, []),
        (
            {"speech_model": U3, "mode": "max_accuracy", "prompt": "x"},
            {"model": U3, "mode": "balanced", "api_version": "1"},
            ["the server did not take: mode"],
        ),
        (
            {"speech_model": U3, "mode": "balanced", "prompt": "x"},
            {"model": US, "mode": None},
            [
                f"the session's model is {US}, but {U3} was asked for",
                f"{US} does not take: mode, prompt",
            ],
        ),
        (
            {"prompt": "x", "interruption_delay": 0, "continuous_partials": False},
            {"model": US},
            [f"{US} does not take: prompt, interruption_delay"],
        ),
        ({"format_turns": True}, {"model": U3}, [f"{U3} does not take: format_turns"]),
        ({"format_turns": True}, {"model": "universal-9"}, []),
        ({"language_codes": ["multi"]}, {"model": MULTILINGUAL}, []),
        (
            {"language_codes": ["de"]},
            {"model": MULTILINGUAL},
            [f"{MULTILINGUAL} does not take: language_codes"],
        ),
    ],
)
def test_begin_shows_what_is_not_as_asked(
    values: dict[str, Any], configuration: dict[str, Any], found: list[str]
) -> None:
    assert Options(values).differences(configuration) == found


def _example(name: str) -> st.SearchStrategy[Any]:
    """Values that `name` takes, and some that it may not."""
    parameter = PARAMETERS[name]
    kinds: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(0, 200_000),
        float: st.floats(-1, 2),
        str: st.sampled_from([*(parameter.choices or ()), "en", ""]),
        list: st.lists(st.sampled_from(["en", "multi", "de"]), max_size=3),
        dict: st.just({"a": 1}),
    }
    return kinds[parameter.type]


some_values = st.sets(st.sampled_from(sorted(PARAMETERS)), max_size=5).flatmap(
    lambda names: st.fixed_dictionaries({name: _example(name) for name in names})
)


@given(some_values, some_values)
def test_options_either_take_all_or_refuse_all(
    values: dict[str, Any], live: dict[str, Any]
) -> None:
    """Whatever is taken can be sent, and a refused change leaves no trace."""
    try:
        options = Options(values)
    except OptionError:
        return
    before = options.query()
    assert before.keys() <= values.keys()
    urlencode(before)
    try:
        after, message = options.updated(live)
    except OptionError:
        assert options.query() == before
        return
    assert message == {"type": "UpdateConfiguration", **live}
    assert Options({**values, **live}).query() == after.query()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("speaker_labels", "true", True),
        ("max_speakers", "3", 3),
        ("keyterms_prompt", "a,b", ["a", "b"]),
        ("keyterms_prompt", '["a,b"]', ["a,b"]),
        ("prompt", "true", "true"),
        ("llm_gateway", '{"model": "m"}', {"model": "m"}),
    ],
)
def test_values_can_be_written_as_text(name: str, text: str, value: object) -> None:
    assert PARAMETERS[name].parse(text) == value


def test_text_that_is_no_value_is_refused() -> None:
    with pytest.raises(OptionError, match="max_speakers must be a whole number"):
        PARAMETERS["max_speakers"].parse("three")
