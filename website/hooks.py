"""MkDocs' hooks: pages that aren't in docs/, links that lead out of it, and what is
made from the code.

Whoever reads this repository as files, and whoever reads the site, follows the same
links. So README.md and its like become pages, and so does each file that a page
links to, such as examples/agent.py.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from website import diagrams, reference

ROOT = Path(__file__).parents[1]

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the site that lie outside of docs/."""

_LINK = re.compile(r"(?<=\]\()(?!#|[a-z]+:)([^)\s#]+)")
"""Where a Markdown link or image leads, if it is to a file."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, and the files that pages link to."""
    texts = {
        f"docs/{file.src_uri}": file.content_string
        for file in files.documentation_pages()
    }
    for source, page in PAGES.items():
        texts[source] = (ROOT / source).read_text()
        files.append(File.generated(config, page, content=texts[source]))
    for source, text in texts.items():
        for link in _LINK.findall(text):
            _add(files, config, posixpath.normpath(f"{source}/../{link}"))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Make links lead to the site's pages, and put in what is made from the code."""
    source = _source_of(page.file.src_uri)
    markdown = _LINK.sub(_translation(source, page.file.src_uri), markdown)
    return diagrams.shown(reference.filled_in(markdown), page.file.src_uri)


def site_path(source: str) -> str:
    """The place on the site, from docs/ on, of a file of the repository."""
    if source in PAGES:
        return PAGES[source]
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return f"files/{source}" + ("" if _is_binary(ROOT / source) else ".md")


def _source_of(page: str) -> str:
    for source, made in PAGES.items():
        if made == page:
            return source
    return f"docs/{page}"


def _translation(source: str, page: str) -> Callable[[re.Match[str]], str]:
    def translated(link: re.Match[str]) -> str:
        path = posixpath.normpath(f"{source}/../{link[0]}")
        if not (ROOT / path).exists():
            return link[0]  # for MkDocs to complain of
        return posixpath.relpath(site_path(path), posixpath.dirname(page) or ".")

    return translated


def _add(files: Files, config: MkDocsConfig, source: str) -> None:
    """A page for a file of the repository; for a folder one, and one for each file."""
    path, place = ROOT / source, site_path(source)
    inside = path.is_relative_to(ROOT) and path.exists()
    if not inside or files.get_file_from_path(place) is not None:
        return
    if _is_binary(path):
        files.append(File.generated(config, place, abs_src_path=str(path)))
        return
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if _is_shown(each))
        names = [each.relative_to(path).as_posix() for each in found]
        for name in names:
            _add(files, config, f"{source}/{name}")
        base = posixpath.dirname(place)
        lines = [
            f"- [{name}]({posixpath.relpath(site_path(f'{source}/{name}'), base)})"
            for name in names
        ]
        body = "\n".join(lines)
    else:
        language = path.suffix.removeprefix(".") or "text"
        body = f"`````{language}\n{path.read_text()}\n`````"
    content = f"---\nsearch:\n  exclude: true\n---\n# {source}\n\n{body}\n"
    files.append(
        File.generated(
            config, place, content=content, inclusion=InclusionLevel.NOT_IN_NAV
        )
    )


def _is_shown(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _is_binary(path: Path) -> bool:
    return path.suffix in (".flac", ".png", ".svg", ".wav")
