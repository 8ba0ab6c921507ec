/** The classified raster over the raster itself. */
import { effect } from "@preact/signals";
import TileLayer from "ol/layer/Tile";
import type TileImage from "ol/source/TileImage";
import { classMap, hiddenClasses, mapOpacity, panel, readyRaster, returns } from "../state/store";
import { tileSource } from "./tiles";

/** Make the layer of the class map; it follows what the store holds. */
export function classLayer(): TileLayer<TileImage> {
  const layer = new TileLayer<TileImage>({ zIndex: 10, preload: 1 });
  effect(() => {
    const [record, map, hidden] = [readyRaster.value, classMap.value, hiddenClasses.value];
    void returns.value; // once the line is mended a new source asks again for tiles that failed
    if (record === null || map === null) return layer.setSource(null);
    const shown = map.classes.flatMap(({ name }, index) => (hidden.has(name) ? [] : [index]));
    if (shown.length === 0) return layer.setSource(null);
    const query = shown.length === map.classes.length ? "" : `?classes=${shown.join(",")}`;
    layer.setSource(tileSource(record, `maps/${encodeURIComponent(map.id)}`, query, true));
  });
  effect(() => layer.setOpacity(mapOpacity.value));
  effect(() => layer.setVisible(panel.value === "classify"));
  return layer;
}
