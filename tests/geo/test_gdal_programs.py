"""What `ogrinfo` and `gdalinfo` make of our files, by another GDAL than that of our wheels."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from skycue.geo.cog import write_cog
from skycue.geo.feature_files import Feature, write_features
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask

pytestmark = pytest.mark.gdal

PLACE = GeoReference("EPSG:32601", (30.0, 0.0, 166021.0, 0.0, -30.0, 0.0))
ROWS = [
    Feature(
        outline_mask(np.eye(2, dtype=np.bool_), (x, 0)),
        {"phrase": "réservoir", "score": 0.25, "box": x, "sure": True, "span": [0, 9]},
    )
    for x in range(3)
]


def output_of(*command: str | Path) -> str:
    """Run a program that must end well and complain of nothing."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
@pytest.mark.parametrize("rows", [ROWS, [*ROWS, Feature(None, {"phrase": "x"})], []])
def test_ogrinfo_reads_features(tmp_path: Path, suffix: str, rows: list[Feature]) -> None:
    path = tmp_path / f"tanks{suffix}"
    write_features(path, rows, PLACE)
    text = output_of("ogrinfo", "-ro", "-al", path)
    assert "Layer name: tanks" in text
    assert f"Feature Count: {len(rows)}" in text
    assert text.count("phrase (String) = réservoir") == len(rows[:3])
    assert text.count("score (Real) = 0.25") == len(rows[:3])
    if suffix == ".gpkg":
        assert "Geometry: Multi Polygon" in text
        assert 'ID["EPSG",32601]' in text
    elif rows:
        assert 'ID["EPSG",4326]' in text


def test_a_geopackage_has_a_spatial_index_and_no_errors(tmp_path: Path) -> None:
    path = tmp_path / "tanks.gpkg"
    write_features(path, ROWS, PLACE)
    assert "rtree_tanks_geom" in output_of(
        "ogrinfo", "-ro", path, "-sql", "SELECT name FROM sqlite_master WHERE name LIKE 'rtree%'"
    )
    assert "integrity_check (String) = ok" in output_of(
        "ogrinfo", "-ro", path, "-sql", "PRAGMA integrity_check"
    )


@pytest.mark.parametrize(
    ("dtype", "nodata", "told"),
    [
        ("float32", -1.0, -1.0),
        ("float32", float("nan"), "NaN"),
        ("uint8", 255, 255.0),
        ("int16", None, None),
    ],
)
def test_gdalinfo_reads_a_cog(
    tmp_path: Path, dtype: str, nodata: float | None, told: float | str | None
) -> None:
    values = np.random.default_rng(2).integers(0, 9, (2, 1100, 1300)).astype(dtype)
    path = tmp_path / "map.tif"
    write_cog(path, values, PLACE, nodata=nodata, descriptions=["forêt", "harbour"])
    found = json.loads(output_of("gdalinfo", "-json", "-checksum", path))
    assert found["driverShortName"] == "GTiff"
    assert found["size"] == [1300, 1100]
    assert found["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert found["metadata"]["IMAGE_STRUCTURE"]["COMPRESSION"] == "DEFLATE"
    assert found["geoTransform"] == [166021.0, 30.0, 0.0, 0.0, 0.0, -30.0]
    assert 'ID["EPSG",32601]' in found["coordinateSystem"]["wkt"]
    assert [band["description"] for band in found["bands"]] == ["forêt", "harbour"]
    assert [band["block"] for band in found["bands"]] == [[512, 512]] * 2
    assert [overview["size"] for overview in found["bands"][0]["overviews"]] == [
        [650, 550],
        [325, 275],
    ]
    assert found["bands"][0].get("noDataValue") == told
