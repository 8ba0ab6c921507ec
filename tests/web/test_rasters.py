"""Rasters over HTTP: sent in chunks, prepared, shown as tiles, seen by their owner only."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyproj import Transformer

from skycue.errors import ConfigError
from skycue.service.preparing import check_signature
from tests.web.serving import (
    PLACE,
    TOKENS,
    geotiff,
    levels,
    png,
    serving,
    tile_of,
    upload,
    wait_for_raster,
)

SMALL = levels(40, 60)


def test_an_upload_becomes_a_raster_whose_tiles_show_its_pixels(tmp_path: Path) -> None:
    with serving(tmp_path, chunk_bytes=1024) as client:
        record = upload(client, "a.tif", geotiff(SMALL))
        assert record["status"] == "ready"
        facts = {"name": "a.tif", "height": 40, "width": 60, "bands": 3, "crs": "EPSG:32631"}
        assert facts.items() <= record.items()
        assert record["gsd_m"] == pytest.approx(0.5, rel=0.01)
        tile = tile_of(client.get(f"/v1/rasters/{record['id']}/tiles/pixels/0/0/0.png"))
        np.testing.assert_array_equal(tile[:3, :40, :60], SMALL)
        assert (tile[3, :40, :60] == 255).all()
        assert tile[3].sum() == 255 * 40 * 60


def test_a_pixel_is_found_on_the_ground(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        placed = upload(client, "a.tif", geotiff(SMALL))["id"]
        found = client.get(f"/v1/rasters/{placed}/position", params={"x": 20, "y": 10}).json()
        east, north = PLACE * (20, 10)
        assert (found["crs"], found["map_x"], found["map_y"]) == ("EPSG:32631", east, north)
        expected = Transformer.from_crs(32631, 4326, always_xy=True).transform(east, north)
        assert (found["longitude"], found["latitude"]) == pytest.approx(expected, abs=1e-9)
        nowhere = upload(client, "a.png", png(SMALL))["id"]
        refused = client.get(f"/v1/rasters/{nowhere}/position", params={"x": 20, "y": 10})
        assert refused.status_code == 409
        assert "no place on the ground" in refused.json()["error"]["message"]
        other = {"Authorization": f"Bearer {TOKENS[1]}"}
        place = f"/v1/rasters/{placed}/position"
        assert client.get(place, params={"x": 1, "y": 1}, headers=other).status_code == 404
        assert client.get(place, params={"x": "nan", "y": 1}).status_code == 422


def test_other_bands_of_a_raster_are_shown_when_asked_for(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 256, (5, 40, 60)).astype(np.uint8)
    with serving(tmp_path) as client:
        record = upload(client, "a.tif", geotiff(values, photometric="MINISBLACK"))
        place = f"/v1/rasters/{record['id']}"
        assert (record["bands"], record["shown_bands"]) == (5, [1, 2, 3])

        def shown() -> np.ndarray:
            return tile_of(client.get(f"{place}/tiles/pixels/0/0/0.png"))[:3, :40, :60]

        np.testing.assert_array_equal(shown(), values[:3])
        changed = client.put(f"{place}/bands", json={"bands": [4, 3, 2]})
        assert changed.status_code == 200, changed.text
        assert changed.json() == {**record, "shown_bands": [4, 3, 2]}
        np.testing.assert_array_equal(shown(), values[[3, 2, 1]])
        zoom = record["grids"][1]["max_zoom"]
        corner = Transformer.from_crs(32631, 3857, always_xy=True).transform(*(PLACE * (30, 20)))
        side = 2 * np.pi * 6378137.0 / 2**zoom
        x, y = int((corner[0] / side) + 2**zoom / 2), int(2**zoom / 2 - corner[1] / side)
        on_web_map = tile_of(client.get(f"{place}/tiles/mercator/{zoom}/{x}/{y}.png"))
        held = on_web_map[3] == 255
        assert held.sum() > 1000
        pixels = values[[3, 2, 1]].reshape(3, -1).T.tolist()
        assert set(map(tuple, on_web_map[:3, held].T.tolist())) <= set(map(tuple, pixels))
        grey = client.put(f"{place}/bands", json={"bands": [5]})
        assert grey.json()["shown_bands"] == [5]
        np.testing.assert_array_equal(shown(), np.repeat(values[4:], 3, axis=0))


def test_bands_that_cannot_be_shown_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "own.tif").write_bytes(geotiff(SMALL))
    with serving(tmp_path / "state", roots=[root]) as client:
        place = f"/v1/rasters/{upload(client, 'a.tif', geotiff(SMALL))['id']}"
        for bands, reason in (
            ([4, 3, 2], "bands [4, 3, 2] are asked for; this raster has 1 to 3."),
            ([1, 2], "2 bands of this raster are asked for; give 1 (grey) or 3."),
            ([0], "bands[0] is 0; 1 is the least"),
            ([], "bands has 0 entries; 1 are the least"),
        ):
            refused = client.put(f"{place}/bands", json={"bands": bands})
            assert (refused.status_code, refused.json()["error"]["message"]) == (422, reason)
        assert client.get(place).json()["shown_bands"] == [1, 2, 3]
        other = {"Authorization": f"Bearer {TOKENS[1]}"}
        hidden = client.put(f"{place}/bands", json={"bands": [1]}, headers=other)
        assert hidden.status_code == 404
        shared = next(one for one in client.get("/v1/rasters").json() if one["is_shared"])
        wait_for_raster(client, shared["id"])
        refused = client.put(f"/v1/rasters/{shared['id']}/bands", json={"bands": [1]})
        assert (refused.status_code, "others see it too" in refused.text) == (409, True)


def test_who_alone_uses_a_server_chooses_the_bands_of_its_own_rasters(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "own.tif").write_bytes(geotiff(SMALL))
    for expected in ([1, 2, 3], [3, 2, 1]):  # a choice outlives the server
        with serving(tmp_path / "state", roots=[root], tokens=[]) as client:
            (record,) = client.get("/v1/rasters").json()
            assert wait_for_raster(client, record["id"])["shown_bands"] == expected
            client.put(f"/v1/rasters/{record['id']}/bands", json={"bands": [3, 2, 1]})


def test_a_raster_with_a_palette_shows_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.tile(np.array([[0, 1, 2]], np.uint8), (30, 20)))
    colours = [10, 20, 30, 110, 120, 130, 210, 220, 230]
    image.putpalette(bytes(colours))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    with serving(tmp_path) as client:
        record = upload(client, "a.png", buffer.getvalue())
        tile = tile_of(client.get(f"/v1/rasters/{record['id']}/tiles/pixels/0/0/0.png"))
        assert tile[:3, 5, :6].T.ravel().tolist() == colours * 2


def test_a_large_raster_is_rewritten_with_overviews_and_shows_the_same(tmp_path: Path) -> None:
    pixels = levels(700, 900)
    with serving(tmp_path) as client:
        record = upload(client, "a.png", png(pixels))
        assert record["crs"] is None
        assert [grid["grid"] for grid in record["grids"]] == ["pixels"]
        assert record["grids"][0]["max_zoom"] == 2
        finest = tile_of(client.get(f"/v1/rasters/{record['id']}/tiles/pixels/2/1/2.png"))
        np.testing.assert_array_equal(finest[:3, :188], pixels[:, 512:, 256:512])
        whole = tile_of(client.get(f"/v1/rasters/{record['id']}/tiles/pixels/0/0/0.png"))
        mean = pixels[:, :400, :400].mean()
        assert whole[:3, :100, :100].mean() == pytest.approx(mean, abs=3)


def test_an_upload_goes_on_where_it_stopped_even_in_another_server(tmp_path: Path) -> None:
    content = geotiff(SMALL)
    with serving(tmp_path, chunk_bytes=4096) as client:
        begun = client.post("/v1/uploads", json={"name": "a.tif", "bytes": len(content)}).json()
        place = f"/v1/uploads/{begun['id']}"
        client.put(place, params={"offset": 0}, content=content[:4096])
        again = client.put(place, params={"offset": 0}, content=content[:4096])
        assert again.status_code == 409
        assert "begins at byte 4096" in again.json()["error"]["message"]
    with serving(tmp_path, chunk_bytes=4096) as client:
        assert client.get(place).json()["received"] == 4096
        early = client.post(f"{place}/finish")
        assert early.status_code == 409
        client.put(place, params={"offset": 4096}, content=content[4096:])
        raster = client.post(f"{place}/finish").json()["id"]
        assert wait_for_raster(client, raster)["status"] == "ready"
        assert client.get(place).status_code == 404
    assert not list((tmp_path / "files" / "uploads").glob("*/*"))


def test_an_upload_that_is_finished_again_gives_the_same_raster(tmp_path: Path) -> None:
    content = geotiff(SMALL)
    with serving(tmp_path) as client:
        begun = client.post("/v1/uploads", json={"name": "a.tif", "bytes": len(content)}).json()
        place = f"/v1/uploads/{begun['id']}"
        client.put(place, params={"offset": 0}, content=content)
        first = client.post(f"{place}/finish")
        again = client.post(f"{place}/finish")
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json()["id"] == first.json()["id"]
        assert [one["id"] for one in client.get("/v1/rasters").json()] == [first.json()["id"]]
        other = {"Authorization": f"Bearer {TOKENS[1]}"}
        assert client.post(f"{place}/finish", headers=other).status_code == 404
        client.delete(f"/v1/rasters/{first.json()['id']}")
        assert client.post(f"{place}/finish").status_code == 404


def test_only_one_request_at_a_time_finishes_an_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = geotiff(SMALL)
    answers: list[int] = []
    with serving(tmp_path) as client:
        begun = client.post("/v1/uploads", json={"name": "a.tif", "bytes": len(content)}).json()
        place = f"/v1/uploads/{begun['id']}"
        client.put(place, params={"offset": 0}, content=content)

        def ask_meanwhile(path: Path) -> None:
            answers.append(client.post(f"{place}/finish").status_code)
            check_signature(path)

        monkeypatch.setattr("skycue.service.service.check_signature", ask_meanwhile)
        assert client.post(f"{place}/finish").status_code == 202
        assert answers == [409]
        assert len(client.get("/v1/rasters").json()) == 1


def test_what_one_token_owns_another_does_not_find(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        raster = upload(client, "a.tif", geotiff(SMALL))["id"]
        job = client.get("/v1/jobs").json()[0]["id"]
        other = {"Authorization": f"Bearer {TOKENS[1]}"}
        paths = (
            f"/v1/rasters/{raster}",
            f"/v1/rasters/{raster}/tiles/pixels/0/0/0.png",
            f"/v1/jobs/{job}",
        )
        for path in paths:
            assert client.get(path).status_code == 200
            assert client.get(path, headers=other).status_code == 404
        assert client.delete(f"/v1/rasters/{raster}", headers=other).status_code == 404
        assert client.post(f"/v1/jobs/{job}/cancel", headers=other).status_code == 404
        assert client.get("/v1/rasters", headers=other).json() == []
        for wrong in ("", "Bearer ", "Bearer no-such-token-at-all", "Basic Zm9vOmJhcg=="):
            assert client.get(paths[0], headers={"Authorization": wrong}).status_code == 401


def test_the_operators_rasters_are_seen_by_all_and_stay(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "a.tif").write_bytes(geotiff(SMALL))
    (tmp_path / "secret.tif").write_bytes(geotiff(SMALL))
    (root / "out.tif").symlink_to(tmp_path / "secret.tif")
    with serving(tmp_path / "state", roots=[root]) as client:
        (record,) = client.get("/v1/rasters").json()
        assert record["name"] == "inner/a.tif"
        assert wait_for_raster(client, record["id"])["is_shared"]
        other = {"Authorization": f"Bearer {TOKENS[1]}"}
        assert client.get(f"/v1/rasters/{record['id']}", headers=other).status_code == 200
        assert client.delete(f"/v1/rasters/{record['id']}").status_code == 409
    with serving(tmp_path / "state", roots=[root]) as client:
        (again,) = client.get("/v1/rasters").json()
        assert (again["id"], again["status"]) == (record["id"], "ready")
    assert (root / "inner" / "a.tif").is_file()


def test_what_the_operator_names_is_served_or_refused_and_never_dropped(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a.tif", "scene.img", "notes.txt"):
        (root / name).write_bytes(geotiff(SMALL))
    with serving(tmp_path / "state") as client:
        service = client.app._app._app.state.service  # type: ignore[attr-defined]
        assert service.register([root]) == (1, 2)
        assert service.register([root / "a.tif"]) == (1, 0)
        with pytest.raises(ConfigError, match=r"scene\.img: files that end in \.jpeg, \.jpg"):
            service.register([root / "scene.img"])


def test_a_deleted_raster_leaves_no_file(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        raster = upload(client, "a.png", png(levels(600, 600)))["id"]
        assert len(list((tmp_path / "files").glob("*/*"))) == 1
        assert client.delete(f"/v1/rasters/{raster}").status_code == 204
        assert client.get(f"/v1/rasters/{raster}").status_code == 404
    assert list((tmp_path / "files").glob("*/*")) == []


def test_a_quota_counts_what_is_announced_and_what_is_there(tmp_path: Path) -> None:
    with serving(tmp_path, quota_bytes=10_000) as client:

        def begin(n_bytes: int) -> int:
            asked = {"name": "a.tif", "bytes": n_bytes}
            return client.post("/v1/uploads", json=asked).status_code

        assert begin(6_000) == 201
        assert begin(6_000) == 429
        other = {"Authorization": f"Bearer {TOKENS[1]}"}
        asked = {"name": "b.tif", "bytes": 6_000}
        assert client.post("/v1/uploads", json=asked, headers=other).status_code == 201
        assert client.get("/v1/server").json()["used_bytes"] == 6_000


def test_measures_are_told_by_route_and_not_by_path(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        client.get("/v1/rasters/r_0123456789")
        client.get("/v1/no/such/path")
        text = client.get("/metrics").text
        assert 'route="/v1/rasters/{raster}",status="404"} 1.0' in text
        assert "no/such" not in text
        assert "r_0123456789" not in text
        assert client.get("/metrics", headers={"Authorization": ""}).status_code == 401


def test_health_needs_no_token(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        answer = client.get("/v1/health", headers={"Authorization": ""})
        assert answer.status_code == 200
        assert answer.json()["needs_token"] is True
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
