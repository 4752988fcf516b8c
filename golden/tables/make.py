"""Tables of embeddings as pyarrow and numpy write them: one matrix of 40 rows of 6 in every container that riesz reads.

python -m venv venv && venv/bin/pip install numpy==2.4.6 pyarrow==26.0.1 && venv/bin/python golden/tables/make.py
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet

HERE = Path(__file__).parent
rows = (np.arange(240).reshape(40, 6) * 37 % 101 - 40).astype("f4") / 8
labels = [f"class {i % 3}" for i in range(40)]
np.save(HERE / "rows.npy", rows)


def lists(kind):
    return pa.array(list(rows.astype(kind.to_pandas_dtype())), type=pa.list_(kind))


def table(embedding, **more):
    return pa.table({"item": np.arange(40), "label": labels, "embedding": embedding, **more})


fixed = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 6)
for name, column in [("fixed", fixed), ("f16", lists(pa.float16())), ("f32", lists(pa.float32())), ("f64", lists(pa.float64()))]:
    codec = {"fixed": "none", "f16": "snappy", "f32": "gzip", "f64": "lz4"}[name]
    parquet.write_table(table(column), HERE / f"{name}.parquet", compression=codec, row_group_size=17)
    feather.write_feather(table(column), HERE / f"{name}.feather", compression="lz4", chunksize=17)
with pa.OSFile(str(HERE / "stream.arrow"), "wb") as file, pa.ipc.new_stream(file, table(fixed).schema) as stream:
    stream.write_table(table(fixed))
parquet.write_table(table(lists(pa.float32())), HERE / "zstd.parquet", compression="zstd")
parquet.write_table(table(fixed), HERE / "zstd2.parquet", compression="zstd", row_group_size=17, data_page_version="2.0")
feather.write_feather(table(lists(pa.float32())), HERE / "zstd.feather", compression="zstd", chunksize=17)
# Words by number in a dictionary, which is a message of its own, and a column of numbers that do not become smaller.
coded = table(fixed, word=pa.array(labels).dictionary_encode(), noise=np.random.default_rng(1).integers(0, 256, 40, dtype="u1"))
with pa.OSFile(str(HERE / "zstd.arrow"), "wb") as file:
    with pa.ipc.new_stream(file, coded.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(coded, max_chunksize=9)
uneven = [list(map(float, row)) for row in rows]
uneven[23] = uneven[23][:5]
parquet.write_table(table(pa.array(uneven, type=pa.list_(pa.float32()))), HERE / "uneven.parquet")
holes = [list(map(float, row)) for row in rows]
holes[9] = None
parquet.write_table(table(pa.array(holes, type=pa.list_(pa.float32()))), HERE / "null.parquet")
whole = pa.array([[int(x) for x in row] for row in rows], type=pa.list_(pa.int32()))
parquet.write_table(table(whole), HERE / "integers.parquet")
parquet.write_table(table(fixed, other=fixed), HERE / "two.parquet")
parquet.write_table(table(fixed).slice(0, 0), HERE / "empty.parquet")

# A column a dimension, as a data frame is written; the labels are categories.
columns = {f"d{i}": rows[:, i].astype("f8" if i == 2 else "f4") for i in range(6)}
frame = pa.table({"item": np.arange(40), "label": pa.array(labels).dictionary_encode(), **columns})
parquet.write_table(frame, HERE / "columns.parquet", row_group_size=17)
feather.write_feather(frame, HERE / "columns.feather", compression="lz4", chunksize=17)
hole = frame.set_column(4, "d2", pa.array([None if i == 21 else float(x) for i, x in enumerate(rows[:, 2])]))
parquet.write_table(hole, HERE / "hole.parquet")
feather.write_feather(hole, HERE / "hole.feather", compression="lz4")

# With an index that pandas would have, of numbers too, and whole numbers beside; and with whole numbers in the place of a dimension.
note = {"pandas": '{"index_columns": ["row"]}'}
indexed = frame.append_column("row", pa.array(np.arange(40) / 2)).append_column("year", pa.array(np.arange(40))).replace_schema_metadata(note)
parquet.write_table(indexed, HERE / "columns-index.parquet")
feather.write_feather(indexed, HERE / "columns-index.feather", compression="lz4")
among = frame.set_column(4, "d2", pa.array(rows[:, 2].astype("i8")))
parquet.write_table(among, HERE / "among.parquet")
feather.write_feather(among, HERE / "among.feather", compression="lz4")
