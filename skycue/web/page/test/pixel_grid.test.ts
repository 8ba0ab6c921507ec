import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReadyRaster } from "../src/api/records";
import { boxBetween, extentOf, flip, ringOf, tileGridOf } from "../src/map/pixel_grid";

const RASTER = {
  id: "r_0123456789",
  width: 1000,
  height: 600,
  grids: [{ grid: "pixels", min_zoom: 0, max_zoom: 2, tile_size: 256, extent: [0, 0, 1000, 600] }],
} as unknown as ReadyRaster;

test("a box is the same from whichever corner it is drawn", () => {
  for (const [a, b] of [[[10, 20], [30, 50]], [[30, 20], [10, 50]], [[30, 50], [10, 20]]] as const) {
    assert.deepEqual(boxBetween([...a], [...b], RASTER), [10, 20, 30, 50]);
  }
});

test("a box is cut to the raster, and one outside or without area is none", () => {
  assert.deepEqual(boxBetween([-5, -9], [2000, 100], RASTER), [0, 0, 1000, 100]);
  assert.equal(boxBetween([1100, 10], [1200, 50], RASTER), null);
  assert.equal(boxBetween([10, 10], [10.4, 50], RASTER), null);
});

test("map coordinates count y upwards", () => {
  assert.deepEqual(flip([3, 4]), [3, -4]);
  assert.deepEqual(extentOf([10, 20, 30, 50]), [10, -50, 30, -20]);
  assert.deepEqual(ringOf([0, 0, 2, 1])[2], [2, -1]);
});

test("the grid names the tile that the server means", () => {
  const { grid } = tileGridOf(RASTER);
  assert.deepEqual(grid.getResolutions(), [4, 2, 1]);
  assert.deepEqual(grid.getTileCoordForCoordAndZ([300, -520], 2), [2, 1, 2]);
  assert.deepEqual(grid.getTileCoordForCoordAndZ([999, -1], 0), [0, 0, 0]);
});
