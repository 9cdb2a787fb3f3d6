"""All benchmarks, one after the other: tables to the screen and, with figures, to a folder.

python -m benchmarks [--quick] [--only NAME,NAME] [--out FOLDER]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from . import clock

# name: arguments, and those of a quick run; "{out}" takes the folder
RUNS = {
    "round": (["--out", "{out}"], ["--quick", "--turns", "3"]),
    "round, one thread": (["--threads", "1", "--out", "{out}"], ["--quick", "--turns", "3"]),
    "limit": (["--out", "{out}"], ["--quick", "--turns", "3"]),
    "limit, one thread": (["--threads", "1", "--out", "{out}"], ["--quick", "--turns", "3"]),
    "time_to_cost": (["--out", "{out}"], ["--quick"]),
    "methods": ([], ["--cases", "A", "--seeds", "1"]),
    "moons": ([], ["--seeds", "1"]),
    "continuation": ([], ["--seeds", "1"]),
    "real_data": (["--json", "{out}/real_data.json"], ["--seeds", "1"]),
    "estimators": (["--out", "{out}"], ["--quick"]),
    "ensemble": ([], ["--samples", "1000", "--repeats", "2"]),
    "memory": ([], ["--samples", "200000"]),
    "distributed": (["--out", "{out}"], ["--quick"]),
    "startup": ([], ["--repeats", "1"]),
}


def main() -> None:
    parser = clock.options(__doc__)
    parser.add_argument("--only", help="names of benchmarks, by commas")
    told = parser.parse_args()
    folder = Path(told.out)
    folder.mkdir(parents=True, exist_ok=True)
    only = told.only.split(",") if told.only else None
    failed = []
    for name, (usual, quick) in RUNS.items():
        module = name.split(",")[0]
        if only and module not in only:
            continue
        more = [word.format(out=folder) for word in [*usual, *(quick if told.quick else [])]]
        command = ["-m", f"benchmarks.{module}", *more]
        print(f"\n== python {' '.join(command)}", flush=True)
        begun = perf_counter()
        with open(folder / f"{name.replace(', ', '_').replace(' ', '_')}.txt", "w") as file:
            child = subprocess.Popen(
                [sys.executable, *command], stdout=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
            for line in child.stdout:
                print(line, end="", flush=True)
                file.write(line)
        if child.wait():
            failed.append(name)
        print(f"== {perf_counter() - begun:.0f} s", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
