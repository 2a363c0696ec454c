"""Pack the large tables of finished runs: ``python scripts/pack.py results``; readers of records accept both."""

import argparse
import sys
from pathlib import Path

from l2m.files import pack
from l2m.records.reading import read_info

MIN_BYTES = 10_000
"""Bytes from which a table is worth packing; it shrinks to a quarter."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results_dir", type=Path, help="a folder that holds runs/")
    for record in sorted(parser.parse_args().results_dir.glob("runs/*/*/*/run.json")):
        table = record.with_name("groups.csv")
        try:
            done = read_info(record.parent)["status"] == "done"
            if done and table.exists() and table.stat().st_size >= MIN_BYTES:
                pack(table)
                print(f"packed: {table}")
        except (OSError, ValueError) as error:
            print(f"warning: {table} is not packed ({error})", file=sys.stderr)


if __name__ == "__main__":
    main()
