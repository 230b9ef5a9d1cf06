"""The listening page's HTML: its style and scripts within it, allowed by their hashes alone."""

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any, Final

from flows.screens.report.parts import script_json

# in this order: each needs those before it
SCRIPTS: Final = (
    "dom", "parts", "sound", "spectrum", "lanes", "captions", "clip", "list", "facts", "main",
)  # fmt: skip
REVIEW_SCRIPTS: Final = ("ask", *SCRIPTS[:-1], "review", SCRIPTS[-1])  # where labels are set right
MARK: Final = '<meta name="generator" content="Obbligato report">'  # by which a page is ours
_SOURCES: Final = files("flows") / "screens" / "report" / "web"


def page_html(title: str, facts: dict[str, Any], *, loads: bool) -> Iterator[str]:
    """The page before the blocks of its parts, and after them.

    `facts` are what it knows of itself. Its policy lets nothing be loaded but, where it `loads`
    parts, scripts beside it; nothing is sent anywhere.
    """
    yield from _html(title, facts, SCRIPTS, "style.css", " 'self' file:" if loads else "", "")


def review_html(title: str) -> str:
    """The page on which labels are set right: it asks the server that it came from for its parts,
    and nobody else for anything; nothing of a build stands in it.
    """
    return "".join(
        _html(title, {"review": True}, REVIEW_SCRIPTS, "review.css", "", "connect-src 'self'; ")
    )


def _html(
    title: str, facts: dict[str, Any], names: tuple[str, ...], styles: str, beside: str, asks: str
) -> Iterator[str]:
    style = "\n".join(_read(name) for name in dict.fromkeys(("style.css", styles)))
    script = "\n".join(_read(f"{name}.js") for name in names)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'{beside}; style-src '{_hash(style)}'; "
        f"{asks}base-uri 'none'; form-action 'none'"
    )
    before, after = _read("page.html").split("<!-- parts -->")
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n{MARK}\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>"
    )
    about = f'<script type="application/json" data-part="about">{script_json(facts)}</script>\n'
    yield before.replace("<!-- head -->", head) + about
    yield after.replace("<!-- script -->", f"<script>{script}</script>")


def _read(name: str) -> str:
    return (_SOURCES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
