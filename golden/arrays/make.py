"""Arrays as numpy saves them, to hold the readers to.

python golden/arrays/make.py    (needs numpy; made with 2.x)
Every npy file holds the 3 x 2 matrix [[0, 1], [2, 3], [4, 100]] in another type or
order (booleans.npy: whether it is above 2); the npz files hold it too, some beside
other arrays.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
MATRIX = np.array([[0, 1], [2, 3], [4, 100]])

for kind in ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "|i1", "|u1", "<i2", ">u2", "<i4", ">i4", "<u4", "<i8", ">i8", ">u8"]:
    name = kind.replace("<", "little-").replace(">", "big-").replace("|", "")
    np.save(HERE / f"{name}.npy", MATRIX.astype(kind))
np.save(HERE / "fortran.npy", np.asfortranarray(MATRIX.astype("<f4")))
np.save(HERE / "fortran-big-i2.npy", np.asfortranarray(MATRIX.astype(">i2")))
with open(HERE / "version-2.npy", "wb") as file:
    np.lib.format.write_array(file, MATRIX.astype("<f4"), version=(2, 0))
np.savez(HERE / "one.npz", MATRIX.astype("<f4"))
np.savez_compressed(HERE / "named.npz", z=np.asfortranarray(MATRIX.astype(">f8")))
np.savez_compressed(
    HERE / "several.npz", z=MATRIX.astype("<f4"), labels=np.arange(3), names=np.array(["a", "b", "c"])
)
np.savez(HERE / "two.npz", u=MATRIX.astype("<f4"), v=MATRIX.astype("<f8") + 0.5)
np.save(HERE / "booleans.npy", MATRIX > 2)
