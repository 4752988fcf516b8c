"""Files as torch.save and pickle.dump write them, to hold the reader to.

python golden/pickles/make.py    (needs torch and numpy; made with torch 2.15.0 and numpy 2.4.6)
Every matrix is the 3 x 2 matrix [[0, 1], [2, 3], [4, 100]].
"""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
MATRIX = np.array([[0, 1], [2, 3], [4, 100]])
ROWS = torch.tensor(MATRIX, dtype=torch.float32)
LABELS = torch.tensor([1, -1, 300])
PATHS = ["a.jpg", "ä/b.jpg", "c.jpg"]


def save(name, what, old=False):
    torch.save(what, HERE / name, _use_new_zipfile_serialization=not old)


for kind in ["float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "uint16"]:
    save(f"{kind}.pt", ROWS.to(getattr(torch, kind)))
save("bool.pt", ROWS > 2)
save("old.pt", ROWS, old=True)
save("parameter.pt", torch.nn.Parameter(ROWS))
save("transposed.pt", ROWS.T.contiguous().T)
save("part.pt", torch.cat([torch.full((2, 2), 7.0), ROWS, torch.full((4, 2), 9.0)])[2:5])
save("columns.pt", torch.cat([torch.full((3, 1), 7.0), ROWS], dim=1)[:, 1:])
save("stacked.pt", torch.stack([ROWS, ROWS + 1]))
save("dictionary.pt", {"features": ROWS, "labels": LABELS, "paths": PATHS, "settings": {"lr": 0.1, "names": []}})
save("dictionary-old.pt", {"labels": LABELS, "features": ROWS.double(), "paths": PATHS}, old=True)
save("two.pt", {"u": ROWS, "inner": {"v": ROWS.double() + 0.5}})
save("biases.pt", {"a.bias": ROWS[:, 0].clone(), "b.bias": ROWS[0].clone(), "b.scale": ROWS[1].clone()})
save("list.pt", [row.clone() for row in ROWS])
save("numpy-within.pt", {"features": MATRIX.astype("<f4")})
save("expanded.pt", torch.zeros(1, 2).expand(3, 2))
save("complex.pt", ROWS.to(torch.complex64))
save("sparse.pt", ROWS.to_sparse())
torch.serialization.set_crc32_options(False)
save("without-checksum.pt", ROWS)
torch.serialization.set_crc32_options(True)

model = torch.nn.Sequential(OrderedDict(a=torch.nn.Linear(2, 3), b=torch.nn.Sequential(torch.nn.BatchNorm1d(3))))
with torch.no_grad():
    model.a.weight.copy_(ROWS)
    model.a.bias.copy_(ROWS[:, 0])
save("module.pt", model)
save("state.pt", {"epoch": 3, "state_dict": model.state_dict(), "optimizer": {"state": {0: {"step": 4}}}})

# Of a network of one's own, with names that some network of riesz has: too few to be one.
names = {f"module.{name}": torch.zeros(2, 1, 3, 3) for name in ["conv1.weight", "layer1.0.conv1.weight"]}
save("names.pt", {"state_dict": names, "epoch": 3})
save("names-old.pt", names, old=True)

for protocol in [2, 3, 4, 5]:
    (HERE / f"protocol-{protocol}.pkl").write_bytes(pickle.dumps(MATRIX.astype("<f4"), protocol=protocol))
(HERE / "protocol-0.pkl").write_bytes(pickle.dumps(MATRIX.astype("<f4"), protocol=0))
(HERE / "fortran.pkl").write_bytes(pickle.dumps(np.asfortranarray(MATRIX.astype(">f8"))))
(HERE / "sentences.pkl").write_bytes(pickle.dumps({"sentences": PATHS, "embeddings": MATRIX.astype("<f2")}))
(HERE / "each.pkl").write_bytes(pickle.dumps({path: row for path, row in zip(PATHS, MATRIX.astype("<f4"))}))
itself = {"rows": MATRIX.astype("<f4")}
itself["within"] = [itself, "text", None]
(HERE / "cycle.pkl").write_bytes(pickle.dumps(itself))
(HERE / "objects.pkl").write_bytes(pickle.dumps({"z": MATRIX.astype("<f4"), "labels": np.array(["x", "y", "z"], dtype=object)}))

(HERE / "tensors.pkl").write_bytes(pickle.dumps({"rows": ROWS.double(), "half": ROWS.half()[0], "ids": LABELS}))
(HERE / "lists.pkl").write_bytes(pickle.dumps({"rows": MATRIX.astype(float).tolist(), "labels": [5, 6, 7], "ids": PATHS}))
(HERE / "plain.pkl").write_bytes(pickle.dumps(MATRIX.tolist()))
(HERE / "uneven.pkl").write_bytes(pickle.dumps([[0.5, 1.0], [2.0]]))


# As Python 2 wrote it, whose texts are bytes: what CIFAR for Python is made of.
def old_text(text):
    text = text if isinstance(text, bytes) else text.encode()
    return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<I", len(text)) + text


def python_2(matrix, kind, labels):
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02K\x00\x85U\x01btR(K\x01(" + b"".join(
        b"M" + struct.pack("<H", side) for side in matrix.shape
    ) + b"tcnumpy\ndtype\nq\x03(" + old_text(kind) + b"K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + old_text(
        matrix.tobytes()
    ) + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    if kind == "u1":
        array = array.replace(b"U\x01<NNN", b"U\x01|NNN")
    return b"\x80\x02}q\x00(" + old_text("data") + array + old_text("labels") + listed + b"u."


images = np.arange(2 * 3072).reshape(2, 3072).astype("u1")
classes = b"".join(old_text(name) for name in ["airplane", "automobile", "bird", "cat"])
(HERE / "cifar-batch").write_bytes(python_2(images, "u1", [3, 0]))
(HERE / "cifar-meta").write_bytes(b"\x80\x02}(" + old_text("label_names") + b"](" + classes + b"eu.")
(HERE / "python-2.pkl").write_bytes(python_2(MATRIX.astype("<f4"), "f4", [1, 2, 3]))


# What a pickle can do to who loads it in Python: here it is a call that is not made.
class Call:
    def __reduce__(self):
        return (open, ("riesz-was-here", "w"))


(HERE / "call.pkl").write_bytes(pickle.dumps({"rows": MATRIX.astype("<f4"), "evil": Call()}))
