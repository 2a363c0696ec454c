"""What MkDocs does to the pages: fences without marks for the tests, names in docstrings without Sphinx's roles."""

import re


def on_page_markdown(markdown: str, **_: object) -> str:
    """``no-run`` tells tests/test_docs.py, and not the reader."""
    return re.sub(r"^```(\w+) no-run$", r"```\1", markdown, flags=re.M)


def on_page_content(html: str, **_: object) -> str:
    return re.sub(r":(?:class|func|meth|mod):<code>~?", "<code>", html)
