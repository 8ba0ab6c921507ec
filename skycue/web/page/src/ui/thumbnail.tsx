/** A small picture of a raster: the topmost tile of its pyramid. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { send } from "../api/http";
import type { RasterRecord } from "../api/records";
import { Icon } from "./icons";

/** The picture, or an icon until it is there. */
export function Thumbnail({ record }: { record: RasterRecord }) {
  const address = useSignal<string | null>(null);
  const top = record.grids.find(({ grid }) => grid === "pixels")?.min_zoom;
  useEffect(() => {
    if (top === undefined) return;
    let made: string | null = null;
    let isGone = false;
    const load = async (): Promise<void> => {
      const content = await (await send(`rasters/${encodeURIComponent(record.id)}/tiles/pixels/${top}/0/0.png`)).blob();
      if (isGone) return;
      made = URL.createObjectURL(content);
      address.value = made;
    };
    load().catch(() => undefined); // the icon stays
    return () => {
      isGone = true;
      if (made !== null) URL.revokeObjectURL(made);
    };
  }, [record.id, top]);
  return (
    <span class="thumbnail">{address.value === null ? <Icon name="image" /> : <img src={address.value} alt="" />}</span>
  );
}
