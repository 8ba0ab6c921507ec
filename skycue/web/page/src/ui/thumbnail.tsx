/** A small picture of a raster: the topmost tile of its pyramid. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { bandsQuery } from "../api/client";
import { send } from "../api/http";
import type { RasterRecord } from "../api/records";
import { returns } from "../state/store";
import { Icon } from "./icons";

/** The picture, or an icon until it is there. */
export function Thumbnail({ record }: { record: RasterRecord }) {
  const address = useSignal<string | null>(null);
  const pyramid = record.grids.find(({ grid }) => grid === "pixels");
  const top = pyramid?.min_zoom;
  const query = bandsQuery(record);
  useEffect(() => {
    if (top === undefined) return;
    let made: string | null = null;
    let isGone = false;
    const load = async (): Promise<void> => {
      const path = `rasters/${encodeURIComponent(record.id)}/tiles/pixels/${top}/0/0.png${query}`;
      const content = await (await send(path)).blob();
      if (isGone) return;
      made = URL.createObjectURL(content);
      address.value = made;
    };
    load().catch(() => undefined); // the icon stays
    return () => {
      isGone = true;
      if (made !== null) URL.revokeObjectURL(made);
    };
  }, [record.id, top, query, returns.value]);
  if (address.value === null || pyramid === undefined) {
    return <span class="thumbnail"><Icon name="image" /></span>;
  }
  const shown = pyramid.tile_size * 2 ** (pyramid.max_zoom - pyramid.min_zoom); // pixels of the raster along the tile
  const filled = Math.min(record.width ?? shown, record.height ?? shown, shown) / shown;
  return (
    <span class="thumbnail is-picture">
      <img src={address.value} alt="" style={{ width: `${100 / filled}%` }} />
    </span>
  );
}
