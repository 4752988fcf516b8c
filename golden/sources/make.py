"""Small sets of images as other people's libraries write them: Python's zipfile, webdataset's ShardWriter, and datasets' parquet.

python3 -m venv venv && venv/bin/pip install pillow datasets webdataset
venv/bin/python golden/sources/make.py

Image i is 16 × 12 pixels of the color (i, 10 x, 20 y), as PNG.
"""

import io
import pathlib
import shutil
import zipfile

import datasets
import pyarrow
import webdataset
from PIL import Image

HERE = pathlib.Path(__file__).parent
CLASSES = ["cat", "dog"]


def png(number):
    picture = Image.new("RGB", (16, 12))
    picture.putdata([(number, 10 * x, 20 * y) for y in range(12) for x in range(16)])
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def zipped():
    with zipfile.ZipFile(HERE / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("train")
        for number in range(6):
            split = "train" if number < 4 else "test"
            how = zipfile.ZIP_STORED if number % 2 else zipfile.ZIP_DEFLATED
            archive.writestr(f"{split}/{CLASSES[number // 2 % 2]}/{number}.png", png(number), compress_type=how)
        archive.writestr("train/ü.txt", "text")
        archive.writestr("__MACOSX/train/._1.png", "resource fork")
        archive.comment = b"made"
    # Through a stream that cannot seek: sizes follow the data.
    class Stream(io.RawIOBase):
        def __init__(self):
            self.bytes = b""

        def writable(self):
            return True

        def write(self, data):
            self.bytes += bytes(data)
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", png(number))
    (HERE / "streamed.zip").write_bytes(stream.bytes)
    with zipfile.ZipFile(HERE / "lzma.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("0.png", png(0))


def shards():
    for split, numbers in [("train", range(7)), ("val", range(7, 10))]:
        with webdataset.ShardWriter(str(HERE / f"shards/{split}-%02d.tar"), maxcount=4, verbose=0) as writer:
            for number in numbers:
                writer.write({"__key__": f"{number:04d}", "png": png(number), "cls": number % 3})
    with webdataset.TarWriter(str(HERE / "json.tar")) as writer:
        for number in range(3):
            field = {"label": CLASSES[number % 2], "caption": "made"} if number < 2 else {"caption": "no label"}
            writer.write({"__key__": f"a/{number}", "png": png(number), "json": field})


def hub():
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    (HERE / "hub/data").mkdir(parents=True)
    for split, parts in [("train", [range(5), range(5, 9)]), ("test", [range(9, 12)])]:
        for part, numbers in enumerate(parts):
            images = [{"bytes": png(number), "path": f"{number}.png"} for number in numbers]
            labels = [number % 2 if number else -1 for number in numbers]
            made = datasets.Dataset.from_dict({"img": images, "label": labels}, features=features)
            made.to_parquet(HERE / f"hub/data/{split}-{part:05d}-of-{len(parts):05d}.parquet", batch_size=2)
    # Without names of classes: plain numbers, plain words; an image without bytes; other compression.
    struct = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    images = [{"bytes": png(0), "path": None}, {"bytes": None, "path": "1.png"}, {"bytes": png(2), "path": None}]
    for name, labels, codec in [("numbers", [10, 9, None], "gzip"), ("words", ["b", "a", "b"], "none"), ("zstd", [0, 1, 2], "zstd")]:
        table = pyarrow.table({"image": pyarrow.array(images, struct), "label": labels})
        pyarrow.parquet.write_table(table, HERE / f"{name}.parquet", compression=codec)
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), HERE / "text.parquet")


if __name__ == "__main__":
    for made in ["shards", "hub"]:
        shutil.rmtree(HERE / made, ignore_errors=True)
    (HERE / "shards").mkdir()
    zipped()
    shards()
    hub()
    print("datasets", datasets.__version__, "webdataset", webdataset.__version__, "pyarrow", pyarrow.__version__)
