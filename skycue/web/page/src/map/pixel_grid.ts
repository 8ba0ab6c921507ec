/**
 * The projection in which every raster is shown: its own pixels, so that boxes are exact whatever
 * the raster's CRS and geotransform are, and images without any CRS are nothing special.
 *
 * OpenLayers counts y upwards, rasters downwards: the map coordinate of pixel (x, y) is (x, -y).
 */
import Projection from "ol/proj/Projection";
import TileGrid from "ol/tilegrid/TileGrid";
import type { Box, Position, ReadyRaster, TileGrid as GridRecord } from "../api/records";

/** x_min, y_min, x_max, y_max in map coordinates. */
export type Extent = [number, number, number, number];

/** Map coordinates of a point of the raster, and back: the same flip. */
export const flip = ([x, y]: readonly number[]): [number, number] => [x ?? 0, -(y ?? 0)];

/** The extent of a box in map coordinates. */
export const extentOf = ([x0, y0, x1, y1]: Box): Extent => [x0, -y1, x1, -y0];

/** The corners of a box as a closed ring in map coordinates. */
export const ringOf = ([x0, y0, x1, y1]: Box): Position[] =>
  [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]].map((point) => flip(point));

/** The box between two points of the raster, cut to the raster; null where it has no area. */
export function boxBetween(a: Position, b: Position, raster: ReadyRaster): Box | null {
  const clip = (value: number, most: number): number => Math.min(Math.max(value, 0), most);
  const round = (value: number): number => Math.round(value * 100) / 100;
  const [x0, x1] = [a[0], b[0]].map((x) => round(clip(x, raster.width))).sort((p, q) => p - q) as Position;
  const [y0, y1] = [a[1], b[1]].map((y) => round(clip(y, raster.height))).sort((p, q) => p - q) as Position;
  return x1 - x0 >= 1 && y1 - y0 >= 1 ? [x0, y0, x1, y1] : null;
}

/** The projection of a raster. */
export function projectionOf(raster: ReadyRaster): Projection {
  return new Projection({
    code: `pixels:${raster.id}`,
    units: "pixels",
    extent: [0, -raster.height, raster.width, 0],
    metersPerUnit: raster.gsd_m ?? 1,
  });
}

/** The pyramid of a raster's tiles in its pixels, as the server describes it. */
export function tileGridOf(raster: ReadyRaster): { record: GridRecord; grid: TileGrid } {
  const record = raster.grids.find(({ grid }) => grid === "pixels");
  if (record === undefined) throw new Error(`raster ${raster.id} has no tiles in pixels`);
  const levels = record.max_zoom + 1;
  const grid = new TileGrid({
    extent: [0, -raster.height, raster.width, 0],
    origin: [0, 0],
    tileSize: record.tile_size,
    minZoom: record.min_zoom,
    resolutions: Array.from({ length: levels }, (_, zoom) => 2 ** (record.max_zoom - zoom)),
  });
  return { record, grid };
}
