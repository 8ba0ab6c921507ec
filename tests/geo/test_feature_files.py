"""Features to GeoParquet, GeoPackage and GeoJSON, and what reads them back."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
from shapely import get_coordinates, transform

from skycue.errors import FeatureError
from skycue.geo.feature_files import Feature, write_features
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask

ROTTERDAM = GeoReference("EPSG:32631", (0.3, 0.0, 593000.1, 0.0, -0.3, 5750000.7))
MASK = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=np.bool_)
FEATURES = [
    Feature(outline_mask(MASK, (40, 70)), {"phrase": "réservoir 油罐", "score": 0.1, "box": 3}),
    Feature(None, {"phrase": "a ship", "score": None, "box": 4}),
]


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg"])
def test_coordinates_come_back_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tanks{suffix}"
    write_features(path, FEATURES, ROTTERDAM)
    back = geopandas.read_parquet(path) if suffix == ".parquet" else geopandas.read_file(path)
    assert back.crs == "EPSG:32631"
    expected = transform(FEATURES[0].outline, ROTTERDAM.to_map)
    assert {tuple(p) for p in get_coordinates(back.geometry[0])} == {
        tuple(p) for p in get_coordinates(expected)
    }
    assert back.geometry[1] is None
    assert back.phrase.tolist() == ["réservoir 油罐", "a ship"]
    assert back.box.tolist() == [3, 4]


def test_geojson_is_read_back_in_degrees(tmp_path: Path) -> None:
    write_features(tmp_path / "tanks.geojson", FEATURES, ROTTERDAM)
    back = geopandas.read_file(tmp_path / "tanks.geojson")
    assert back.crs == "EPSG:4326"
    assert back.to_crs("EPSG:32631").area[0] == pytest.approx(6 * 0.09, rel=1e-2)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"'\.shp' names no kind of feature file. \.parquet"):
        write_features(tmp_path / "tanks.shp", FEATURES, ROTTERDAM)
    with pytest.raises(FeatureError, match="GeoJSON is always in WGS 84"):
        write_features(tmp_path / "tanks.geojson", FEATURES, ROTTERDAM, out_crs="EPSG:3857")
