"""The paper's reproduction: its rows, tables, figures, claims and verdicts, from the records of a results folder."""
