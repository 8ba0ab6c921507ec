"""Raster files that are damaged, or that would lead somewhere else."""

import random
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from skycue.errors import ImageReadError, SkycueError
from skycue.geo import raster_files
from skycue.geo.raster import Raster, read_raster
from skycue.geo.tiles import PixelWindow
from tests.geo.rasters import PLACE, write_bands

SECRET = 77
PIXELS = np.random.default_rng(5).integers(0, 60, (3, 64, 64)).astype(np.uint8)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A raster that another one would like to show."""
    folder = tmp_path / "private"
    folder.mkdir()
    return write_bands(folder / "secret.tif", np.full((1, 64, 64), SECRET, np.uint8))


def vrt(source: Path) -> str:
    return f"""<VRTDataset rasterXSize="64" rasterYSize="64">
<GeoTransform>0, 1, 0, 0, 0, 1</GeoTransform><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>
</VRTRasterBand></VRTDataset>"""


def read_twice(path: Path | str) -> None:
    """Read all of a raster, smaller and as it is."""
    raster = Raster.open(path)
    for size in ((16, 16), None):
        raster.read(PixelWindow.whole(raster.size), size)


def refusal(path: Path | str) -> str:
    """Say why a file is not read, at full size or smaller."""
    with pytest.raises(ImageReadError) as caught:
        read_twice(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_virtual_raster_is_refused_under_any_name(tmp_path: Path, secret: Path) -> None:
    for name in ("a.tif", "a.vrt", "a.png"):
        path = tmp_path / name
        path.write_text(vrt(secret), encoding="utf-8")
        assert rasterio.open(path).read(1).max() == SECRET  # GDAL by itself follows it
        assert "not a raster" in refusal(path)
    assert "only files of this machine are read" in refusal(vrt(secret))


@pytest.mark.parametrize(
    "name",
    [
        "http://127.0.0.1/a.tif",
        "https://127.0.0.1/a.tif",
        "s3://bucket/a.tif",
        "file:///etc/passwd",
        "/vsicurl/http://127.0.0.1/a.tif",
        "/vsizip/a.zip/a.tif",
        "/vsimem/a.tif",
        "/vsistdin/",
    ],
)
def test_urls_and_paths_into_archives_are_refused(name: str) -> None:
    assert "only files of this machine are read; download it first" in refusal(name)
    assert "cannot read" in refusal(Path(name))  # a Path folds the slashes


@pytest.mark.parametrize("prefix", ["GTIFF_DIR:1:", "GTIFF_RAW:", "NITF_IM:0:", "JP2_CODESTREAM:"])
def test_prefixes_of_gdal_are_file_names(tmp_path: Path, prefix: str) -> None:
    path = write_bands(tmp_path / "a.tif", PIXELS)
    assert "no such file" in refusal(f"{prefix}{path}")


def test_overviews_in_a_file_that_the_raster_names_are_refused(
    tmp_path: Path, secret: Path
) -> None:
    inside = write_bands(tmp_path / "inside.tif", PIXELS[:1])
    with rasterio.open(inside, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(secret))
    assert "names another file for its overviews" in refusal(inside)
    beside = write_bands(tmp_path / "beside.tif", PIXELS[:1])
    (tmp_path / "beside.tif.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS">'
        f'<MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata></PAMDataset>',
        encoding="utf-8",
    )
    assert "names another file for its overviews" in refusal(beside)


@pytest.mark.parametrize("suffix", [".ovr", ".msk"])
def test_a_virtual_raster_beside_is_refused(tmp_path: Path, secret: Path, suffix: str) -> None:
    path = write_bands(tmp_path / "a.tif", PIXELS[:1])
    (tmp_path / f"a.tif{suffix}").write_text(vrt(secret), encoding="utf-8")
    assert f"a.tif{suffix}: not a raster" in refusal(path)


def test_every_format_but_those_of_the_list_is_refused(tmp_path: Path) -> None:
    for name, content in {
        "a.gif": b"GIF89a",
        "a.pdf": b"%PDF-1.5",
        "a.nc": b"CDF\x01",
        "a.h5": b"\x89HDF\r\n\x1a\n",
        "a.gpkg": b"SQLite format 3\x00",
        "a.asc": b"ncols 2\nnrows 2\n",
        "a.xml": b"<GDAL_WMS></GDAL_WMS>",
        "a.mrf": b"<MRF_META></MRF_META>",
        "a.dat": b"no header beside",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert "not a raster (GTiff, JP2OpenJPEG, PNG, JPEG" in refusal(tmp_path / name)
    (tmp_path / "empty.tif").touch()
    assert "empty file (0 bytes)" in refusal(tmp_path / "empty.tif")
    assert "a folder; give a file" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "gone.tif")
    assert "null byte" in refusal("a\x00.tif")


def test_only_the_reader_of_the_signature_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    opened = rasterio.open

    def watch(*args: object, **options: object) -> object:
        called.append(options["driver"])
        return opened(*args, **options)

    monkeypatch.setattr(rasterio, "open", watch)
    path = write_bands(tmp_path / "a.tif", PIXELS)
    called.clear()
    Raster.open(path)
    # a signature alone convinces no other reader
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"<VRTDataset></VRTDataset>")
    assert "damaged or cut off" in refusal(tmp_path / "b.png")
    assert called == ["GTiff", "PNG"]


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "jp2", "tif", "deflate.tif"])
def test_a_file_cut_off_anywhere_is_an_error_and_never_black(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "deflate.tif":
        write_bands(path, PIXELS, compress="deflate")
    else:
        Image.fromarray(PIXELS.transpose(1, 2, 0)).save(path)
    content = path.read_bytes()
    whole = read_raster(path).pixels
    for length in random.Random(1).sample(range(16, len(content) - 16), 15):
        path.write_bytes(content[:length])
        try:
            pixels = read_raster(path).pixels
        except ImageReadError:
            continue
        np.testing.assert_array_equal(pixels, whole)  # what is missing carried no pixels


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_changed_bytes_of_compressed_pixels_are_noticed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "png":
        Image.fromarray(PIXELS.transpose(1, 2, 0)).save(path)
    else:
        write_bands(path, PIXELS, compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "damaged or cut off" in refusal(path)


def test_random_headers_are_errors_of_one_line(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "a.tif", PIXELS)
    content = path.read_bytes()
    generator = random.Random(2)
    said = []
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[generator.randrange(4, 400)] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            Raster.open(path).read(PixelWindow(0, 0, 64, 64))
        except SkycueError as error:  # anything else fails this test
            said.append(str(error))
    assert len(said) > 10
    assert not any("\n" in line for line in said)


def test_a_block_too_large_to_decode_is_refused_before_it_is(tmp_path: Path) -> None:
    def entry(tag: int, kind: int, value: int) -> bytes:
        return struct.pack("<HHII", tag, kind, 1, value)

    side = 100_000  # one tile of 10 GB in a file of 134 bytes
    tags = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1)]
    tags += [(322, side - side % 16), (323, side - side % 16), (324, 8), (325, 8)]
    directory = struct.pack("<H", len(tags)) + b"".join(entry(tag, 4, v) for tag, v in tags)
    path = tmp_path / "bomb.tif"
    path.write_bytes(b"II*\x00" + struct.pack("<I", 8) + directory + bytes(4))
    assert "blocks of 100000 x 100000 pixels, over 512 MB each" in refusal(path)


def test_a_format_that_is_decoded_whole_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.webp"
    Image.fromarray(PIXELS.transpose(1, 2, 0)).save(path)
    monkeypatch.setattr(raster_files, "MAX_WHOLE_PIXELS", 1000)
    assert "64 x 64 pixels; of WEBP at most 1,000 are read" in refusal(path)


def test_a_whole_raster_is_read_only_if_it_is_small(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=9000,
        height=9000,
        count=1,
        dtype="uint8",
        sparse_ok=True,
        crs="EPSG:32631",
        transform=PLACE,
    ):
        pass
    with pytest.raises(ImageReadError, match="9000 x 9000 pixels; at most 64,000,000 are read"):
        read_raster(path)
