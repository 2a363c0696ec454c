"""LaTeX of tables: characters, numbers, and the frame of a ``longtable`` with booktabs' rules."""

import re
from collections.abc import Iterable, Sequence

CHARACTERS = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "√": r"$\surd$", "²": "$^2$", "Δ": r"$\Delta$",
    "⌊": r"$\lfloor$", "⌋": r"$\rfloor$", "α": r"$\alpha$", "γ": r"$\gamma$", "η": r"$\eta$",
})  # fmt: skip
"""What text may not hold as it is."""

FORMULA = r"2$\cdot$$\surd$(sd\_paper$^2$/4 + sd$^2$/n)", r"$2\sqrt{s_\mathrm{paper}^2/4 + s^2/n}$"
"""One that reads better set than spelled."""


def escape(text: str) -> str:
    return text.translate(CHARACTERS).replace(*FORMULA)


def number(text: str, bold: bool = False) -> str:
    """``-0.24 ± 0.08`` as mathematics; anything else as text."""
    if not re.fullmatch(r"(< )?[+-]?[\d.]+( ± [\d.]+)?", text):
        return escape(text)
    inner = text.replace("±", r"\pm")
    return rf"$\mathbf{{{inner}}}$" if bold else f"${inner}$"


def grey(text: str) -> str:
    """A number of the paper, small and grey."""
    return rf"{{\scriptsize\color{{gray}}{number(text)}}}" if text else ""


def line(words: Iterable[str], keep: bool = False) -> str:
    """A line of cells; no page break follows it if it must ``keep`` with the next."""
    return f"{' & '.join(words)} \\\\{'*' * keep}"


def longtable(
    columns: str, head: Sequence[str], lines: Iterable[str], caption: str, label: str, comments: Sequence[str] = ()
) -> str:
    """A whole table over as many pages as it needs; ``comments`` are left in the source alone."""
    return "\n".join([
        r"% needs \usepackage{booktabs,longtable,xcolor}",
        *(f"% {comment}".rstrip() for comment in comments if comment and not comment.startswith("```")),
        r"{\footnotesize\setlength{\tabcolsep}{4pt}\setlength{\LTcapwidth}{\linewidth}",
        rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
        rf"\caption{{{escape(caption)}}}\label{{{label}}} \\",
        r"\toprule", line(head), r"\midrule", r"\endfirsthead",
        r"\toprule", line(head), r"\midrule", r"\endhead",
        r"\bottomrule", r"\endfoot",
        *lines,
        r"\end{longtable}}",
        "",
    ])  # fmt: skip
