"""Hooks of MkDocs: remove the tests' marks from fences and Sphinx's roles from names in docstrings."""

import re


def on_page_markdown(markdown: str, **_: object) -> str:
    """``no-run`` is for tests/test_docs.py, not for readers."""
    return re.sub(r"^```(\w+) no-run$", r"```\1", markdown, flags=re.M)


def on_page_content(html: str, **_: object) -> str:
    return re.sub(r":(?:class|func|meth|mod):<code>~?", "<code>", html)
