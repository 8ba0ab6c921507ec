/** Where the mouse is on the ground: the server is asked once it stands still for a moment. */
import { effect, signal } from "@preact/signals";
import { position } from "../api/client";
import type { Position, PositionView } from "../api/records";
import { readyRaster } from "../state/store";
import { pointer } from "./map_view";

const STILL_MS = 80;

/** Longitude and latitude under the mouse; null while they are not known. */
export const ground = signal<PositionView | null>(null);

let timer: number | undefined;
let asked = 0;

effect(() => {
  const [at, record] = [pointer.value, readyRaster.value];
  clearTimeout(timer);
  asked += 1;
  ground.value = null;
  if (at !== null && record?.crs) timer = window.setTimeout(() => void ask(record.id, at), STILL_MS);
});

async function ask(id: string, at: Position): Promise<void> {
  const number = asked;
  try {
    const found = await position(id, at);
    if (number === asked) ground.value = found;
  } catch {
    // it stays unknown: a line that breaks is told elsewhere, and a CRS may end here
  }
}

/** "51.93820° N 4.14730° E": five digits are a metre. */
export function inDegrees({ longitude, latitude }: PositionView): string {
  const side = (value: number, positive: string, negative: string): string =>
    `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`;
  return `${side(latitude, "N", "S")} ${side(longitude, "E", "W")}`;
}
