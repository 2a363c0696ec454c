"""Changes that MkDocs makes to the pages: no marks for the tests on fences, no Sphinx roles in docstrings."""

import re


def on_page_markdown(markdown: str, **_: object) -> str:
    """``no-run`` is for tests/test_docs.py, not for readers."""
    return re.sub(r"^```(\w+) no-run$", r"```\1", markdown, flags=re.M)


def on_page_content(html: str, **_: object) -> str:
    return re.sub(r":(?:class|func|meth|mod):<code>~?", "<code>", html)
