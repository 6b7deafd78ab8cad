"""Diagrams in Mermaid, drawn beforehand: the site loads no script from elsewhere.

    python -m website.diagrams

draws those that are new or have changed into docs/diagrams, with Mermaid from npm and
Chromium. A file is named after its diagram's text, so that none can be out of date.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

MERMAID = "mermaid@11.17.2"
DOCS = Path(__file__).parents[1] / "docs"
FOLDER = "diagrams"

_FENCE = re.compile(r"(?ms)^```mermaid\n(.*?)^```$")
_TITLE = re.compile(r"(?m)^ *accTitle: (.+)$")

_DRAW = """
async source => {
    mermaid.initialize({startOnLoad: false, theme: "neutral", htmlLabels: false});
    const {svg} = await mermaid.render("diagram", source);
    const page = new DOMParser().parseFromString(svg, "image/svg+xml");
    const drawn = page.documentElement;
    const [, , width, height] = drawn.getAttribute("viewBox").split(" ");
    drawn.setAttribute("width", width);
    drawn.setAttribute("height", height);
    drawn.style.backgroundColor = "white";
    return new XMLSerializer().serializeToString(drawn);
}
"""


def sources(markdown: str) -> list[str]:
    """The diagrams of a page."""
    return _FENCE.findall(markdown)


def drawing(source: str) -> str:
    """Where a diagram is drawn, from docs/ on."""
    return f"{FOLDER}/{hashlib.sha256(source.encode()).hexdigest()[:12]}.svg"


def shown(markdown: str, page: str) -> str:
    """A page of docs/ with pictures for its diagrams. MkDocs complains of one that is
    not drawn yet."""

    def picture(fence: re.Match[str]) -> str:
        title = _TITLE.search(fence[1])
        path = posixpath.relpath(drawing(fence[1]), posixpath.dirname(page) or ".")
        return f"![{title[1] if title else ''}]({path})"

    return _FENCE.sub(picture, markdown)


def draw_all() -> None:
    """Draw what is not drawn, and remove what no page has any more."""
    from playwright.sync_api import sync_playwright

    wanted = {
        drawing(source): source
        for page in DOCS.rglob("*.md")
        for source in sources(page.read_text())
    }
    for path in (DOCS / FOLDER).glob("*.svg"):
        if f"{FOLDER}/{path.name}" not in wanted:
            path.unlink()
    (DOCS / FOLDER).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = ["npm", "pack", "--silent", MERMAID]
        packed = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True
        ).stdout.split()[-1]
        with tarfile.open(Path(folder, packed)) as archive:
            script = archive.extractfile("package/dist/mermaid.min.js")
            assert script is not None
            code = script.read().decode()
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.add_script_tag(content=code)
        for name, source in wanted.items():
            (DOCS / name).write_text(page.evaluate(_DRAW, source) + "\n")
        browser.close()


if __name__ == "__main__":
    draw_all()
