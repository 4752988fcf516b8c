"""Small whole files of the kinds that other programs write: `python make.py` makes them anew beside this file.

The search in `main.rs` begins at them. `pixels.safetensors` has what Pillow reads in the images (tifffile where Pillow does not read
them): alpha dropped without blending, turned as EXIF says, of an animation the first frame; gray with one channel; and of 16 bits the
nearest of 255 parts, as of floats from 0 to 1. `crates/riesz-lab/tests/data/kinds.rs` holds riesz to it.
"""

import gzip
import io
import json
import lzma
import pathlib
import struct
import sys
import tarfile
import zipfile

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import tifffile
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent


def keep(reader, name, content):
    folder = HERE / reader
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


y, x = np.mgrid[0:13, 0:17]
pixels = np.stack([x * y, 10 * x, 20 * y], 2).astype(np.uint8)
color = Image.fromarray(pixels)
gray = color.convert("L")
alpha = color.convert("RGBA")
alpha.putalpha(gray)
palette = color.quantize(7)
bits = color.convert("1")
sixteen = Image.fromarray((x * y * 300).astype(np.uint16))

# PNG: kinds of pixels, a palette with one transparent color, interlaced (Adam7, which Pillow does not write: by hand, uncompressed rows).
for name, image in {"palette": palette, "bits": bits, "sixteen": sixteen, "alpha": alpha, "gray-alpha": alpha.convert("LA")}.items():
    keep("png", name, saved(image, "PNG"))
keep("png", "transparent-color", saved(palette, "PNG", transparency=1))
keep("png", "animated", saved(color, "PNG", save_all=True, append_images=[gray.convert("RGB")]))


def interlaced(image):
    import zlib

    values = np.asarray(image)
    rows = b""
    for fx, fy, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for row in values[fy::dy, fx::dx]:
            if len(row):
                rows += b"\0" + row.tobytes()
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", image.width, image.height, 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


keep("png", "interlaced", interlaced(gray))

# JPEG: progressive, subsampled, gray, with restarts, turned and mirrored by EXIF, as the other formats that can say so.
keep("jpeg", "progressive", saved(color, "JPEG", progressive=True, quality=60))
keep("jpeg", "subsampled", saved(color, "JPEG", subsampling="4:2:0", optimize=True))
keep("jpeg", "gray", saved(gray, "JPEG"))
keep("jpeg", "restarts", saved(color, "JPEG", restart_marker_blocks=1, subsampling="4:2:2"))
exif = Image.Exif()
for orientation in [2, 3, 4, 5, 6, 7, 8]:
    exif[0x0112] = orientation
    keep("jpeg", f"turned-{orientation}", saved(color, "JPEG", exif=exif))
keep("png", "turned-8", saved(color, "PNG", exif=exif))
keep("webp", "turned-8", saved(color, "WEBP", lossless=True, exif=exif))
keep("tiff", "turned-8", saved(color, "TIFF", exif=exif))

# WebP: lossy, with transparency, lossless of few colors, animated.
keep("webp", "lossy", saved(color, "WEBP", quality=50))
keep("webp", "lossy-alpha", saved(alpha, "WEBP", quality=50))
keep("webp", "palette", saved(palette.convert("RGB"), "WEBP", lossless=True))
keep("webp", "animated", saved(color, "WEBP", save_all=True, append_images=[gray.convert("RGB")], duration=50))

# GIF: animated with frames that cover a part, interlaced is Pillow's default.
moved = color.copy()
moved.paste(gray.crop((2, 2, 9, 9)), (4, 4))
keep("gif", "animated", saved(palette, "GIF", save_all=True, append_images=[moved.quantize(7)], disposal=2, transparency=0))
keep("gif", "gray", saved(gray, "GIF", interlace=0))

# BMP: of 1, 8 and 32 bits; runs (RLE8, by hand: a line, the end).
keep("bmp", "bits", saved(bits, "BMP"))
keep("bmp", "palette", saved(palette, "BMP"))
keep("bmp", "alpha", saved(alpha, "BMP"))
runs = bytes([3, 1, 0, 3, 0, 1, 1, 0, 0, 0, 6, 0, 0, 1])
colors = bytes([0, 0, 0, 0, 255, 0, 0, 0])
keep(
    "bmp",
    "runs",
    b"BM" + struct.pack("<IHHI", 54 + 8 + len(runs), 0, 0, 62)
    + struct.pack("<IiiHHIIiiII", 40, 6, 2, 1, 8, 1, len(runs), 1, 1, 2, 2) + colors + runs,
)

# TIFF: codecs, tiles, planes, predictors, sixteen bits, floats, big, two pages.
def tiff(data, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, data, metadata=None, software=False, **options)
    return stream.getvalue()


for codec in ["lzw", "deflate", "packbits", "jpeg"]:
    stream = {"lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "packbits": "packbits", "jpeg": "jpeg"}[codec]
    keep("tiff", codec, saved(color, "TIFF", compression=stream))
keep("tiff", "bits", saved(bits, "TIFF"))
keep("tiff", "group4", saved(bits, "TIFF", compression="group4"))
keep("tiff", "alpha", saved(alpha, "TIFF"))
keep("tiff", "cmyk", saved(color.convert("CMYK"), "TIFF"))
keep("tiff", "tiles", tiff(np.tile(pixels, (2, 2, 1)), tile=(16, 16), photometric="rgb"))
keep("tiff", "planes", tiff(np.moveaxis(pixels, 2, 0), photometric="rgb", planarconfig="separate"))
keep("tiff", "sixteen", tiff(pixels.astype(np.uint16) * 200, photometric="rgb", byteorder=">"))
keep("tiff", "floats", tiff((pixels / 255).astype(np.float32), photometric="rgb"))
keep("tiff", "big", tiff(pixels, photometric="rgb", bigtiff=True))
keep("tiff", "pages", tiff(np.stack([pixels, pixels]), photometric="rgb"))

# PNM: each of the seven.
keep("pnm", "p1", b"P1\n3 2\n0 1 0\n1 0 1\n")
keep("pnm", "p2", b"P2\n# two\n3 2\n15\n0 7 15\n15 7 0\n")
keep("pnm", "p4", b"P4\n9 2\n" + bytes([0xAA, 0x80, 0x55, 0]))
keep("pnm", "p6-sixteen", b"P6\n2 2\n65535\n" + bytes(range(24)))
keep("pnm", "p7", b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(range(16)))

# tar: the three formats, with long names, links, a folder, an empty file; compressed in several pieces.
small = saved(gray, "PNG")


def tar(form, **more):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, **more) as archive:
        for name in ["a/1.png", "a/2.png", "b/" + 110 * "x" + ".png", "b/é.png", "b/empty.txt"]:
            entry = tarfile.TarInfo(name)
            content = b"" if "empty" in name else small
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for kind, name, to in [(tarfile.DIRTYPE, "c", ""), (tarfile.SYMTYPE, "a/3.png", "1.png"), (tarfile.LNKTYPE, "a/4.png", "a/1.png")]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, to
            archive.addfile(entry)
    return stream.getvalue()


keep("tar", "gnu", tar(tarfile.GNU_FORMAT))
keep("tar", "pax", tar(tarfile.PAX_FORMAT, pax_headers={"comment": "of all"}))
whole = tar(tarfile.PAX_FORMAT)
half = len(whole) // 2
keep("tar.gz", "two-members", gzip.compress(whole[:half], mtime=0) + gzip.compress(whole[half:], mtime=0))
keep("tar.gz", "named", b"\x1f\x8b\x08\x08\0\0\0\0\0\x03a.tar\0" + gzip.compress(whole, mtime=0)[10:])
keep("tar.gz", "stored", gzip.compress(whole[: 20 * 512] + bytes(1024), 0, mtime=0))
keep("tar.xz", "delta", lzma.compress(whole, filters=[{"id": lzma.FILTER_DELTA, "dist": 3}, {"id": lzma.FILTER_LZMA2, "preset": 1}]))
keep("tar.xz", "x86", lzma.compress(whole, filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 1}]))
keep("tar.xz", "crc32", lzma.compress(whole, check=lzma.CHECK_CRC32))
keep("tar.xz", "two-streams", lzma.compress(whole[:half]) + lzma.compress(whole[half:]))
for level in [1, 9]:
    codec = pa.Codec("zstd", level)
    keep("tar.zst", f"level-{level}", codec.compress(whole, asbytes=True))


# zip: stored and deflated, a comment, a name that is not ASCII, sizes of 64 bits.
def packed(method, **more):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method, **more) as archive:
        archive.comment = b"of all"
        for name in ["a/1.png", "a/é.png", "b/2.png", "b/"]:
            archive.writestr(zipfile.ZipInfo(name), b"" if name == "b/" else small, method)
    return stream.getvalue()


for name, method in {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}.items():
    keep("zip", name, packed(method))


def zip64():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("a/1.png", "w", force_zip64=True) as member:
        member.write(small)
    return stream.getvalue()


keep("zip", "zip64", zip64())

# npy and npz: types, orders, no rows but one, deflated.
rows = np.arange(24).reshape(6, 4) / 7


def npy(array, **more):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **more)
    return stream.getvalue()


keep("npy", "f8", npy(rows))
keep("npy", "i8-fortran", npy(np.asfortranarray((7 * rows).astype(np.int64))))
keep("npy", "version-3", npy(rows.astype(np.float16), version=(3, 0)))


def npz(method, **arrays):
    stream = io.BytesIO()
    method(stream, **arrays)
    return stream.getvalue()


keep("npz", "deflated", npz(np.savez_compressed, rows=rows.astype(np.float32)))
keep("npz", "labeled", npz(np.savez, rows=rows, names=np.array(["a", "b", "c", "d", "e", "f"])))

# parquet: encodings and codecs; with nulls beside the rows, several row groups, statistics and an index of pages.
lists = pa.array([list(row) for row in rows], pa.list_(pa.float32()))
fixed = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel(), pa.float32()), 4)
table = pa.table({"rows": fixed, "name": ["a", None, "a", "b", "c", "é"], "label": [0, 1, 0, None, 2, 1]})


def parquet(table, **options):
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


for codec in ["snappy", "gzip", "lz4", "none"]:
    keep("parquet", codec, parquet(table, compression=codec, row_group_size=4))
keep("parquet", "page-2", parquet(table, data_page_version="2.0", compression="snappy", write_page_index=True, write_page_checksum=True))
keep("parquet", "split", parquet(table, use_dictionary=False, column_encoding={"rows.list.element": "BYTE_STREAM_SPLIT", "label": "DELTA_BINARY_PACKED", "name": "DELTA_BYTE_ARRAY"}))
keep("parquet", "lists", parquet(pa.table({"x": lists, "name": table["name"].dictionary_encode()})))

# Arrow: lz4, dictionaries, several batches, large lists.
def feather(table, **options):
    stream = io.BytesIO()
    pyarrow.feather.write_feather(table, stream, **options)
    return stream.getvalue()


def stream_of(table, **options):
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return stream.getvalue()


named = pa.table({"rows": fixed, "name": table["name"].dictionary_encode()})
keep("arrow", "lz4", feather(named, compression="lz4"))
keep("arrow", "batches", feather(pa.table({"x": lists}), compression="uncompressed", chunksize=2))
keep("arrow", "large-lists", feather(pa.table({"x": lists.cast(pa.large_list(pa.float64()))}), compression="uncompressed"))
keep("arrow", "stream-lz4", stream_of(named, compression="lz4"))
keep("arrow", "old-stream", stream_of(pa.table({"x": lists}), use_legacy_format=True))

# CSV: as spreadsheets write it.
keep("csv", "windows", b'\xef\xbb\xbfname,x,y\r\n"a",1.5,2\r\n"b, c",3,-4e-3\r\n')
keep("csv", "no-header", b"1,2,3\n4,5,6\n7,8,9\n")

# What is in the images.
found = {}
for folder in ["png", "jpeg", "webp", "gif", "bmp", "tiff", "pnm"]:
    for path in sorted((HERE / folder).iterdir()):
        name = f"{folder}/{path.name}"
        if name in ["tiff/planes", "tiff/sixteen", "tiff/floats"]:
            values = tifffile.imread(path)
            values = np.moveaxis(values, 0, 2) if name == "tiff/planes" else values
        elif name == "pnm/p7":
            values = np.arange(16, dtype=np.uint8).reshape(2, 2, 4)[:, :, :3]
        else:
            image = ImageOps.exif_transpose(Image.open(path))
            if image.mode == "I;16":
                values = np.asarray(image)
            elif image.mode in ["1", "L", "LA"] and folder not in ["bmp", "gif"]:  # those have palettes, which are of colors
                values = np.asarray(image.convert("L"))
            else:
                # The palette's transparency is no color.
                image.info.pop("transparency", None)
                values = np.asarray(image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB"))
        if values.dtype == np.uint16:
            values = values / 257
        elif values.dtype == np.float32:
            values = values * 255
        found[name] = np.rint(values).astype(np.uint8).reshape(*values.shape[:2], -1)
at, head = 0, {}
for name, values in found.items():
    head[name] = {"dtype": "U8", "shape": values.shape, "data_offsets": [at, at + values.nbytes]}
    at += values.nbytes
head = json.dumps(head).encode()
head += b" " * (-len(head) % 8)
(HERE / "pixels.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"".join(v.tobytes() for v in found.values()))

print(f"Python {sys.version.split()[0]}, Pillow {PIL.__version__}, tifffile {tifffile.__version__}, numpy {np.__version__}, pyarrow {pa.__version__}")
