"""Pack the large tables of finished runs: ``python scripts/pack.py results``; what reads records reads them packed."""

import argparse
import json
from pathlib import Path

from l2m.files import pack

LEAST = 10_000
"""Bytes of a table that is worth packing; it shrinks to a quarter."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results_dir", type=Path, help="a folder that holds runs/")
    for record in sorted(parser.parse_args().results_dir.glob("runs/*/*/*/run.json")):
        table = record.with_name("groups.csv")
        done = json.loads(record.read_text())["status"] == "done"
        if done and table.exists() and table.stat().st_size >= LEAST:
            pack(table)
            print(f"packed: {table}")


if __name__ == "__main__":
    main()
