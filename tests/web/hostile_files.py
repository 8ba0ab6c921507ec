"""Files that somebody who means harm would send: each is made here, none comes from elsewhere."""

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import rasterio

from tests.web.serving import PLACE, geotiff, levels, png

SECRET = "/etc/passwd"


class _Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return (os.system, ("touch /tmp/skycue-was-here",))


def vrt(source: str = SECRET) -> bytes:
    return (
        '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{source}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    ).encode()


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"content")
    return buffer.getvalue()


def tiff(*entries: tuple[int, int, int, int], order: str = "<") -> bytes:
    """Return a TIFF whose only directory has these entries: tag, type, count, value."""
    mark = b"II" if order == "<" else b"MM"
    content = mark + struct.pack(f"{order}HIH", 42, 8, len(entries))
    for entry in entries:
        content += struct.pack(f"{order}HHII", *entry)
    return content + bytes(4 + 64)


def plain_tags(
    width: int, height: int, rows: int, bands: int = 1
) -> list[tuple[int, int, int, int]]:
    """Return the tags of an uncompressed image whose one strip lies at byte 8."""
    return [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, bands), (278, 4, 1, rows), (279, 4, 1, 64),
    ]  # fmt: skip


def sparse(height: int, width: int, count: int = 3, **options: object) -> bytes:
    """Return a small GeoTIFF that claims to be large."""
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=height, width=width, count=count, dtype="uint8",
            sparse_ok=True, crs="EPSG:32631", transform=PLACE,
            **{"tiled": True, "bigtiff": "YES", "blockxsize": 512, "blockysize": 512} | options,
        ):  # fmt: skip
            pass
        return bytes(memory.read())


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds one row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def jpeg(height: int | None = None) -> bytes:
    """Return a JPEG, with another height in its header where one is given."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(levels(700, 640).transpose(1, 2, 0)).save(buffer, "JPEG", quality=95)
    content = bytearray(buffer.getvalue())
    if height is not None:
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 2] = struct.pack(">H", height)
    return bytes(content)


SOUND = geotiff(levels(600, 600), compress="deflate", tiled=True)


def _cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def _scrambled(content: bytes) -> bytes:
    changed = bytearray(content)
    noise = np.random.default_rng(3).integers(0, 256, len(changed) // 2).astype(np.uint8)
    changed[len(changed) // 4 : len(changed) // 4 + len(noise)] = noise.tobytes()
    return bytes(changed)


NOT_RASTERS: dict[str, bytes] = {
    "vrt.tif": vrt(),
    "vrt_of_url.tif": vrt("/vsicurl/http://127.0.0.1:9/x.tif"),
    "vrt_of_proc.tiff": vrt("/proc/self/environ"),
    "vrt_after_blanks.tif": b"\n  " + vrt(),
    "vrt_with_mark.tif": b"\xef\xbb\xbf" + vrt(),
    "wms.tif": b'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1/</ServerUrl>',
    "text.tif": b"this is no raster",
    "one_byte.tif": b"I",
    "page.png": b"<html><script>alert(1)</script>",
    "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "entities.svg": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "weights.safetensors": pickle.dumps(_Evil()),
    "weights.pt": archive("archive/data.pkl"),
    "header.safetensors": struct.pack("<Q", 2**63) + b"{}",
    "long.safetensors": struct.pack("<Q", 10**9) + json.dumps({"a": [0]}).encode(),
    "slip.zip": archive("../../../../etc/cron.d/skycue", "/etc/passwd"),
    "raster.kmz": archive("doc.kml"),
    "bomb.gz": gzip.compress(bytes(10_000_000)),
    "program.tif": b"\x7fELF" + bytes(200),
    "paper.pdf": b"%PDF-1.7\n1 0 obj <</S /JavaScript>> endobj",
    "stars.fits": b"SIMPLE  =                    T" + bytes(2850),
    "grid.h5": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "grid.nc": b"CDF\x01" + bytes(500),
    "map.nitf": b"NITF02.10" + bytes(500),
    "scene.jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(500),
    "scene.webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 " + bytes(500),
    "scene.gif": b"GIF89a" + bytes(500),
    "scene.bmp": b"BM" + bytes(500),
    "scene.img": b"EHFA_HEADER_TAG" + bytes(500),
    "scene.hdr": b"ENVI\nsamples = 9\nlines = 9\nbands = 1\nfile = /etc/passwd\n",
    "boxes.gpkg": b"SQLite format 3\x00" + bytes(500),
    "boxes.parquet": b"PAR1" + bytes(500) + b"PAR1",
}
"""Refused by their first bytes, whatever their names say."""

BAD_RASTERS: dict[str, bytes] = {
    "only_a_mark.tif": b"II*\x00",
    "beyond_the_end.tif": b"II*\x00" + struct.pack("<I", 2**31),
    "far_beyond.tif": b"II+\x00\x08\x00\x00\x00" + struct.pack("<Q", 2**63),
    "no_entries.tif": tiff(),
    "long_entry.tif": tiff((256, 4, 2**32 - 1, 8), (257, 4, 2**32 - 1, 8)),
    "no_size.tif": tiff(*plain_tags(0, 0, 1)),
    "huge.tif": tiff(*plain_tags(2**31 - 1, 2**31 - 1, 1)),
    "one_strip.tif": tiff(*plain_tags(30_000, 60_000, 60_000)),
    "many_bands.tif": tiff(*plain_tags(8, 8, 8, bands=65_535)),
    "big_endian_huge.tif": tiff(*plain_tags(2**20, 2**20, 1), order=">"),
    "bomb.tif": sparse(200_000, 200_000),
    "long.tif": sparse(64, 600_000, 1),
    "bands.tif": sparse(64, 64, 200),
    "large_blocks.tif": sparse(40_000, 40_000, 3, blockxsize=16_384, blockysize=16_384),
    "cut.tif": _cut(SOUND, 0.4),
    "scrambled.tif": _scrambled(SOUND),
    "on_a_line.tif": geotiff(levels(20, 20), transform=rasterio.Affine(1, 1, 0, 1, 1, 0)),
    "complex.tif": geotiff(np.ones((1, 8, 8), dtype=np.complex64)),
    "cut.jpg": _cut(jpeg(), 0.3),
    "tall.jpg": jpeg(65_500),
    "mark.jpg": b"\xff\xd8\xff\xe0" + bytes(100),
    "large.png": png_of_size(100_000, 100_000),
    "no_rows.png": png_of_size(2_000, 2_000),
    "cut.png": _cut(png(levels(600, 600)), 0.5),
    "mark.png": b"\x89PNG\r\n\x1a\n",
}
"""Look like rasters, and are refused when they are looked at in a process of its own."""
