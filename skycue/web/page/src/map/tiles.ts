/** Tiles from the server, fetched with the token where one is wanted. */
import type ImageTile from "ol/ImageTile";
import TileImage from "ol/source/TileImage";
import TileState from "ol/TileState";
import type Tile from "ol/Tile";
import { ConnectionError, send } from "../api/http";
import type { ReadyRaster } from "../api/records";
import { report } from "../state/notices";
import { projectionOf, tileGridOf } from "./pixel_grid";

/** Tiles that are kept decoded: a screen and its surroundings. */
const CACHED_TILES = 512;

/**
 * Return a source of tiles in the pixels of a raster.
 *
 * @param path the route above `tiles/`.
 * @param query asked with every tile.
 * @param isSharp show single pixels and cells as squares.
 */
export function tileSource(raster: ReadyRaster, path: string, query: string, isSharp: boolean): TileImage {
  const { record, grid } = tileGridOf(raster);
  const source = new TileImage({
    projection: projectionOf(raster),
    tileGrid: grid,
    cacheSize: CACHED_TILES,
    interpolate: !isSharp,
    transition: 150,
    tileUrlFunction: ([z, x, y]) => `${path}/tiles/${record.grid}/${z}/${x}/${y}.png${query}`,
    tileLoadFunction: (tile, url) => void loadTile(tile, url),
  });
  return source;
}

async function loadTile(tile: Tile, url: string): Promise<void> {
  const image = (tile as ImageTile).getImage() as HTMLImageElement;
  try {
    const content = await (await send(url)).blob();
    const address = URL.createObjectURL(content);
    image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
    image.src = address;
  } catch (error) {
    if (error instanceof ConnectionError) report(error);
    tile.setState(TileState.ERROR); // the tile above it goes on to be shown
  }
}
