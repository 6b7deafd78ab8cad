"""The README as a package index shows it, which has none of the files it links to."""

import re

_PICTURE = re.compile(r"(?s)!\[[^\]]*\]\([^):]+\)\n\n.*?\n\n")
_LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:)[^)]+\)")


def as_description(readme: str) -> str:
    """Without pictures and their captions, links to files of the repository as text."""
    return _LINK.sub(r"\1", _PICTURE.sub("", readme))
