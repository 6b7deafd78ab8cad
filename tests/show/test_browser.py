"""The page in a real browser, which may ask nobody for anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio

from aai_stream.recorder.format import Entries, Meta, Pushed, Received, Told
from aai_stream.recorder.reading import RecordedCall
from aai_stream.show.page import page as html_of
from tests.browsers import launched
from tests.show.browser import looking_at
from tests.show.calls import (
    BEGAN,
    EVIL,
    RATE,
    SENTENCES,
    audio,
    entries,
    evil_entries,
    meta,
    turn,
)

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched("--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


def write_page(
    folder: Path,
    made: Sequence[Entries] | None = None,
    about: Meta | None = None,
    sound: Any = None,
) -> Path:
    call = RecordedCall(
        folder / "call.aai",
        about or meta(),
        list(entries() if made is None else made),
        audio() if sound is None else sound,
    )
    file = folder / "call.html"
    file.write_text(html_of(call), "utf-8")
    return file


@asynccontextmanager
async def call_shown(
    browser: Browser, folder: Path, **options: Any
) -> AsyncIterator[Page]:
    async with looking_at(browser, write_page(folder), **options) as page:
        yield page


async def position(page: Page) -> float:
    """Of the cursor, in ms."""
    return float(await page.locator("#timeline").get_attribute("aria-valuenow") or 0)


COLOURED = """([name, left, right]) => {
    const canvas = document.querySelector("#timeline");
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = getComputedStyle(document.documentElement)
        .getPropertyValue(`--${name}`);
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
    const from = Math.round(left * canvas.width);
    const {data} = canvas.getContext("2d").getImageData(
        from, 0, Math.round(right * canvas.width) - from, canvas.height);
    let pixels = 0;
    for (let i = 0; i < data.length; i += 4)
        pixels += data[i] === r && data[i + 1] === g && data[i + 2] === b
            && data[i + 3] === 255;
    return pixels;
}"""


async def coloured(page: Page, name: str, left: float = 0.0, right: float = 1.0) -> int:
    """How many pixels between two parts of the width have that colour."""
    await page.evaluate("() => new Promise(requestAnimationFrame)")
    await page.evaluate("() => new Promise(requestAnimationFrame)")
    return int(await page.evaluate(COLOURED, [name, left, right]))


async def test_words_sessions_and_what_happened_are_there(
    browser: Browser, tmp_path: Path
) -> None:
    async with call_shown(browser, tmp_path) as page:
        said = await page.locator("#turns li > div > span").all_text_contents()
        assert said == [" ".join(text for text, _, _ in each) for each in SENTENCES]
        happened = "\n".join(await page.locator("#moments li").all_text_contents())
        assert "session 1 lost: the connection was reset; trying again" in happened
        assert "session 2 goes on at 00:09.300: 2.70 s are sent again" in happened
        sessions = await page.locator("#sessions tbody tr").all_text_contents()
        assert len(sessions) == 2
        assert "lost: the connection was reset (1006)" in sessions[0]
        assert "00:09.300, after 1" in sessions[1]
        assert "2.20 s" in sessions[1]  # sent again
        rows = await page.locator("#latencies tbody tr").all_text_contents()
        assert [row for row in rows if "Begin" in row] == [
            "session asked for → Begin20.43 s0.43 s0.43 s"
        ]
        facts = await page.locator("#facts").text_content()
        assert "2, 1 lost" in (facts or "")
        assert "2026-11-28 12:00:00" in (facts or "")
        assert await page.title() == "call.aai"
        for colour in ("wave", "replay", "good", "bad", "text"):
            assert await coloured(page, colour) > 20, colour


async def test_partials_are_there_on_demand(browser: Browser, tmp_path: Path) -> None:
    async with call_shown(browser, tmp_path) as page:
        assert await page.locator("#turns details li").count() == 0
        await page.locator("#turns summary").first.click()
        partials = page.locator("#turns details li")
        await partials.first.wait_for()
        assert await partials.all_text_contents() == [
            "00:03.391Hello, this",
            "00:03.851Hello, this is John",
        ]


async def test_it_plays_and_the_cursor_follows(
    browser: Browser, tmp_path: Path
) -> None:
    async with call_shown(browser, tmp_path) as page:
        play = page.get_by_role("button", name="Play")
        await play.click()
        pause = page.get_by_role("button", name="Pause")
        await pause.wait_for()
        await page.wait_for_function(
            "() => document.querySelector('#timeline').ariaValueNow > 300"
        )
        await pause.click()
        await play.wait_for()
        here = await position(page)
        await page.keyboard.press("Tab")
        assert await position(page) == here


async def test_the_end_of_the_audio_is_the_end_of_playing(
    browser: Browser, tmp_path: Path
) -> None:
    async with call_shown(browser, tmp_path) as page:
        await page.locator("#timeline").focus()
        await page.keyboard.press("End")
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("Space")
        await page.wait_for_function(
            "() => document.querySelector('#timeline').ariaValueNow >= 18150"
        )
        await page.get_by_role("button", name="Play").wait_for()


async def test_a_click_seeks_and_both_times_are_told(
    browser: Browser, tmp_path: Path
) -> None:
    async with call_shown(browser, tmp_path) as page:
        await page.get_by_role("button", name="00:14.180").click()
        assert await position(page) == 14_180
        where = page.locator("#where")
        assert await where.text_content() == "00:14.180 · 12:00:14.780"
        assert await page.locator("#turns li.here span").all_text_contents() == [
            "My account number is seven three nine four five eight."
        ]
        await page.locator("#timeline").click(position={"x": 600, "y": 80})
        assert 8_000 < await position(page) < 11_000


async def test_keys_move_the_cursor(browser: Browser, tmp_path: Path) -> None:
    async with call_shown(browser, tmp_path) as page:
        await page.locator("#timeline").focus()
        for key, expected in (
            ("ArrowRight", 1000),
            ("Shift+ArrowRight", 11_000),
            ("ArrowLeft", 10_000),
            ("n", 12_010),
            ("n", 12_511),
            ("p", 12_010),
            ("Home", 0),
        ):
            await page.keyboard.press(key)
            assert await position(page) == expected, key


async def test_keys_zoom_and_the_cursor_stays_where_it_is(
    browser: Browser, tmp_path: Path
) -> None:
    """What is replayed ends at two thirds of the whole; close by it goes on to the
    right edge."""
    async with call_shown(browser, tmp_path) as page:
        assert await coloured(page, "replay", 0.8, 1.0) == 0
        await page.get_by_role("button", name="00:10.060").first.click()
        for _ in range(8):
            await page.keyboard.press("+")
        assert await coloured(page, "replay", 0.8, 1.0) > 100
        assert await coloured(page, "accent", 0.5, 0.6) > 100  # the cursor
        await page.keyboard.press("-")
        await page.keyboard.press("0")
        assert await coloured(page, "replay", 0.8, 1.0) == 0
        assert await coloured(page, "replay") > 100


async def test_the_wheel_zooms_and_to_drag_moves(
    browser: Browser, tmp_path: Path
) -> None:
    async with call_shown(browser, tmp_path) as page:
        box = await page.locator("#timeline").bounding_box()
        assert box is not None
        x, y = box["x"] + 10, box["y"] + 80
        await page.mouse.move(x, y)
        await page.mouse.wheel(0, -700)
        assert await coloured(page, "replay") == 0  # it is further to the right
        for _ in range(12):
            await page.mouse.move(x + 1000, y)
            await page.mouse.down()
            await page.mouse.move(x + 500, y, steps=4)
            await page.mouse.up()
        assert await position(page) == 0  # to drag is not to click
        assert await coloured(page, "wave") > 100
        await page.get_by_role("button", name="All").click()
        assert await coloured(page, "replay") > 100


async def test_messages_by_session_way_and_text(
    browser: Browser, tmp_path: Path
) -> None:
    async with call_shown(browser, tmp_path) as page:
        assert await page.locator("#lines li").count() == 0
        await page.keyboard.press("m")
        lines = page.locator("#lines li")
        await lines.first.wait_for()
        assert await lines.count() == 24
        await page.get_by_label("Session", exact=True).select_option("2")
        assert await lines.count() == 10
        await page.get_by_label("Way").select_option("out")
        assert await lines.count() == 1
        assert "Terminate" in (await lines.first.text_content() or "")
        await page.get_by_label("Way").select_option("")
        await page.get_by_label("Text").fill("TERMIN")
        assert await page.locator("#shown").text_content() == "1 to 2 of 2"
        await lines.first.locator("summary").click()
        await lines.first.locator("pre").wait_for()
        assert await lines.first.locator("pre").text_content() == (
            '{\n "type": "Terminate"\n}'
        )
        await page.get_by_label("Text").fill("nowhere")
        assert await page.locator("#shown").text_content() == "None"


async def test_messages_come_by_pages(browser: Browser, tmp_path: Path) -> None:
    many = [
        Received(unix=BEGAN + i, stream_ms=0, session=1, message={"type": "X", "n": i})
        for i in range(450)
    ]
    async with looking_at(browser, write_page(tmp_path, many)) as page:
        await page.locator("#messages > summary").click()
        shown = page.locator("#shown")
        await page.wait_for_selector("#shown:has-text('1 to 200 of 450')")
        await page.get_by_role("button", name="Later").click()
        await page.get_by_role("button", name="Later").click()
        assert await shown.text_content() == "401 to 450 of 450"
        assert await page.get_by_role("button", name="Later").is_disabled()
        await page.get_by_role("button", name="Earlier").click()
        assert await shown.text_content() == "201 to 400 of 450"


async def test_settings_and_handshakes(browser: Browser, tmp_path: Path) -> None:
    async with call_shown(browser, tmp_path) as page:
        await page.get_by_text("Settings").click()
        asked = await page.locator("#asked div").all_text_contents()
        assert "replay_seconds60" in asked
        assert "encodingpcm_s16le" in asked
        assert "session 2speech_model=u3-rt-pro&sample_rate=16000" in asked


async def test_what_was_said_is_text(browser: Browser, tmp_path: Path) -> None:
    about = meta(stream=EVIL, host=EVIL, settings={EVIL: EVIL})
    async with looking_at(browser, write_page(tmp_path, evil_entries(), about)) as page:
        assert EVIL in (await page.locator("#turns").text_content() or "")
        assert EVIL in (await page.locator("#moments").text_content() or "")
        assert EVIL in (await page.locator("#sessions").text_content() or "")
        assert EVIL in (await page.locator("#facts").text_content() or "")
        assert EVIL in (await page.locator("#asked").text_content() or "")
        await page.locator("#messages > summary").click()
        await page.wait_for_selector("#lines li:has-text('onerror')")
        assert await page.locator("img").count() == 0


async def test_there_is_a_dark_one(browser: Browser, tmp_path: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    async with call_shown(browser, tmp_path, scheme="dark") as page:
        assert await page.evaluate(background) == "rgb(18, 21, 27)"
        assert await coloured(page, "replay") > 20
        await page.emulate_media(color_scheme="light")
        assert await page.evaluate(background) == "rgb(245, 246, 248)"
        assert await coloured(page, "replay") > 20


async def test_a_narrow_window_scrolls_down_only(
    browser: Browser, tmp_path: Path
) -> None:
    wide = "document.documentElement.scrollWidth > innerWidth"
    async with call_shown(browser, tmp_path, width=360, height=740) as page:
        await page.locator("#messages > summary").click()
        await page.wait_for_selector("#lines li")
        assert not await page.evaluate(wide)


NAMELESS = """() => [...document.querySelectorAll(
        "button, select, input, canvas, summary, [role=region], dialog, section")]
    .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length
        || e.getAttribute("aria-labelledby")))
    .map((e) => e.outerHTML)"""

DANGLING = """() => [...document.querySelectorAll(
        "[aria-labelledby], [aria-describedby], [for]")]
    .flatMap((e) => ["aria-labelledby", "aria-describedby", "for"]
        .map((name) => e.getAttribute(name)))
    .filter((id) => id && !document.getElementById(id))"""

DOUBLE = """() => { const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i); }"""

FAINT = """() => {
    const paint = document.createElement("canvas").getContext("2d");
    const rgb = (colour) => {
        paint.clearRect(0, 0, 1, 1);
        paint.fillStyle = colour;
        paint.fillRect(0, 0, 1, 1);
        return paint.getImageData(0, 0, 1, 1).data;
    };
    const bright = (colour) => {
        const [r, g, b] = [...rgb(colour)].map((v) => v / 255).map(
            (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        return rgb(colour)[3] === 255 ? colour : behind(e.parentElement);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !e.checkVisibility()) continue;
        if (e.matches(":disabled, script, style, noscript")) continue;
        const [a, b] = [getComputedStyle(e).color, behind(e)].map(bright);
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) found.push(`${contrast.toFixed(1)} ${e.outerHTML}`);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_has_a_name_and_can_be_read(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    async with call_shown(browser, tmp_path, scheme=scheme) as page:
        await page.locator("#messages > summary").click()
        await page.wait_for_selector("#lines li")
        await page.locator("#turns summary").first.click()
        assert await page.evaluate(NAMELESS) == []
        assert await page.evaluate(DANGLING) == []
        assert await page.evaluate(DOUBLE) == []
        assert await page.evaluate(FAINT) == []
        assert await page.locator("h1").count() == 1
        slider = page.get_by_role("slider", name="Position in the call")
        text = await slider.get_attribute("aria-valuetext")
        assert text == "00:00.000 · 12:00:00.600"
        await page.keyboard.press("?")
        assert await page.locator("dialog[open] kbd").count() > 8
        await page.keyboard.press("Escape")


async def test_a_call_without_audio_has_a_page(
    browser: Browser, tmp_path: Path
) -> None:
    nothing = np.zeros(0, np.int16)
    async with looking_at(browser, write_page(tmp_path, [], sound=nothing)) as page:
        assert await page.get_by_role("button", name="Play").is_disabled()
        await page.keyboard.press("Space")
        assert await page.locator("#how").text_content() == "cut off"


def hour() -> tuple[list[Entries], Any]:
    """A call of an hour, with its pushes and a turn every six seconds."""
    made: list[Entries] = [
        Pushed(
            unix=BEGAN + second,
            stream_ms=1000 * second,
            pushes=[
                (RATE * second + RATE // 20 * i, 50_000 * (i - 1)) for i in range(1, 21)
            ],
        )
        for second in range(3600)
    ]
    for order in range(600):
        ms = 6000 * order - 1500
        message = turn(order, SENTENCES[0], True, -ms) | {"is_final": True}
        at = BEGAN + 6 * order + 4
        made.append(Told(unix=at, stream_ms=0, message=message))
    rng = np.random.default_rng(2)
    return made, rng.integers(-300, 300, 3600 * RATE, np.int16)


DRAWN = """() => {
    let rects = 0;
    const fill = CanvasRenderingContext2D.prototype.fillRect;
    CanvasRenderingContext2D.prototype.fillRect = function (...all) {
        rects++;
        return fill.apply(this, all);
    };
    return new Promise((done) => {
        document.querySelector("#closer").click();
        requestAnimationFrame(() => requestAnimationFrame(() => done(rects)));
    });
}"""


async def test_of_an_hour_only_what_is_visible_is_drawn(
    browser: Browser, tmp_path: Path
) -> None:
    made, sound = hour()
    sorted_made = sorted(made, key=lambda entry: entry.unix)
    async with looking_at(
        browser, write_page(tmp_path, sorted_made, sound=sound)
    ) as page:
        assert await page.locator("#turns li").count() == 600
        assert await page.evaluate(DRAWN) < 6000
        for _ in range(20):
            await page.keyboard.press("+")
        assert await page.evaluate(DRAWN) < 6000
        await page.get_by_role("button", name="59:54.710").click()
        assert await position(page) == 3_594_710
