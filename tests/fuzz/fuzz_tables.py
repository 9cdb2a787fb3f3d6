"""The reader of tables: any bytes are a table or are refused in a sentence.

What is promised, for every file:

- a table has finite numbers, a target for every row, names that differ;
- `read_rows` finds the same numbers in the same file;
- written again in the plainest way, it is read again to the same bits.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["pmpnet.tables", "pmpnet.checks"]):
        from pmpnet import tables
else:
    from pmpnet import tables

import numpy as np

from tests.fuzz.driver import Choices, main, sentence

FOLDER = tempfile.TemporaryDirectory()
PATH, AGAIN = Path(FOLDER.name, "table.csv"), Path(FOLDER.name, "again.csv")
TARGETS = ("y", "kind", "a", "", "b;c", " y ", "ü")


def one(data: bytes) -> None:
    """Read a file of these bytes."""
    choices = Choices(data)
    target, task = choices.one_of(TARGETS), choices.one_of((None, *tables.TASKS))
    PATH.write_bytes(choices.rest())
    try:
        table = tables.read(PATH, target, task)
    except ValueError as error:
        sentence(error, PATH.name)
        return
    rows = len(table.y)
    assert rows >= tables.FEWEST_ROWS
    assert table.x.shape == (rows, len(table.columns))
    assert table.x.dtype == np.float64
    assert np.isfinite(table.x).all()
    assert target not in table.columns
    assert len(set(table.columns)) == len(table.columns)
    assert task is None or table.task == task
    assert table.task == "classification" or np.isfinite(table.y).all()
    found = tables.read_rows(PATH, table.columns)
    assert found.tobytes() == table.x.tobytes()

    with AGAIN.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow([*table.columns, table.target])
        for x, y in zip(table.x.tolist(), table.y.tolist(), strict=True):
            writer.writerow([*map(repr, x), y])
    # names with many of another separator in them may look like another kind of table
    if max(",;\t", key=AGAIN.read_text(encoding="utf-8").splitlines()[0].count) != ",":
        return
    again = tables.read(AGAIN, target, table.task)
    assert again.x.tobytes() == table.x.tobytes()
    assert again.columns == table.columns
    assert np.array_equal(again.y.astype(str), table.y.astype(str)), (again.y, table.y)


def seeds():
    """Return tables of several kinds."""
    rows = "".join(f"{i},{i * 0.5},{'xz'[i % 2]}\n" for i in range(12))
    yield b"\0\0" + f"a,b,y\n{rows}".encode()
    yield b"\1\0" + f'"a; b",b,kind\n{rows}'.replace(",", ";").encode()
    yield (
        b"\2\2"
        + f"b\tc\ta\n{rows.replace('x', '1').replace('z', '2.5')}".replace(",", "\t").encode()
    )
    yield b"\0\0" + f"\ufeffa,b,y\r\n\r\n{rows}".replace("\n", "\r\n").encode()
    yield b"\0\1" + f'a,"b ""c""\n d",y\n{rows}'.encode()
    yield b"\6\0" + f"a,b,ü\n{rows}".encode()
    yield b"\0\0" + b"a,b,y\n" + b"1e308,-0.0,1\n" * 10 + b"nan,inf,1\n"
    yield b"\0\0" + b"a,b,y\n" + b" 1e-320 ,0x1,99999999999999999999\n" * 10
    yield b"\0\0" + "a,b,y\n".encode("utf-16")


if __name__ == "__main__":
    main(one, seeds)
