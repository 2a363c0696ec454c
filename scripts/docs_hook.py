"""Hooks of MkDocs: remove tests' marks from fences, Sphinx's roles from docstrings, addresses of hosts from scripts."""

import re
from pathlib import Path


def on_page_markdown(markdown: str, **_: object) -> str:
    """``no-run`` is for tests/test_docs.py, not for readers."""
    return re.sub(r"^```(\w+) no-run$", r"```\1", markdown, flags=re.M)


def on_page_content(html: str, **_: object) -> str:
    return re.sub(r":(?:class|func|meth|mod):<code>~?", "<code>", html)


def on_post_build(config: dict[str, str], **_: object) -> None:
    """Remove the theme's addresses of a host, which it asks for what no page here has, and the maps of its sources."""
    for file in Path(config["site_dir"], "assets").rglob("*.map"):
        file.unlink()
    for file in Path(config["site_dir"], "assets", "javascripts").glob("*.js"):
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"https://unpkg\.com/|\n?//# sourceMappingURL=.*", "", text), encoding="utf-8")
