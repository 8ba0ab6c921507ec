/** The routes of the server by name, as the head of `skycue/web/schemas.py` lists them. */
import { eventsOf } from "./events";
import { ConnectionError, get, remove, send, sendJson } from "./http";
import type {
  AnswerRecord,
  AnswersView,
  Box,
  EditView,
  Health,
  JobRecord,
  LabelRecord,
  MapRecord,
  ModelRecord,
  Position,
  PositionView,
  Problem,
  RasterRecord,
  ServerView,
} from "./records";

export type AnswerFormat = "geojson" | "parquet" | "gpkg" | "coco" | "png";
export type MapFormat = "geojson" | "parquet" | "gpkg" | "cog" | "png";
export type NewLabel = Pick<LabelRecord, "box" | "class_name">;

/** A change of answers. */
export type Edit =
  | { action: "rename"; answer: string; phrase?: number; name: string | null }
  | { action: "delete"; answer: string; phrase?: number }
  | { action: "merge"; answers: string[] }
  | { action: "merge_phrases"; answer: string; phrases: number[] }
  | { action: "undo" };

/** What arrives while a box is being described. */
export type DescribeEvent =
  | { kind: "token"; box_id: string; caption: string }
  | { kind: "answer"; answer: AnswerRecord }
  | { kind: "error"; box_id: string; error: Problem };

const raster = (id: string): string => `rasters/${encodeURIComponent(id)}`;

export const health = (): Promise<Health> => get("health");
export const server = (): Promise<ServerView> => get("server");

export const rasters = (): Promise<RasterRecord[]> => get("rasters");
export const oneRaster = (id: string): Promise<RasterRecord> => get(raster(id));
export const position = (id: string, [x, y]: Position): Promise<PositionView> =>
  get(`${raster(id)}/position?x=${x}&y=${y}`);
export const showBands = (id: string, bands: number[]): Promise<RasterRecord> =>
  sendJson("PUT", `${raster(id)}/bands`, { bands });
export const deleteRaster = (id: string): Promise<void> => remove(raster(id));

export const answers = (id: string): Promise<AnswersView> => get(`${raster(id)}/answers`);
export const edit = (id: string, change: Edit): Promise<EditView> =>
  sendJson("POST", `${raster(id)}/edits`, { edit: change });

export const labels = (id: string): Promise<LabelRecord[]> => get(`${raster(id)}/labels`);
export const putLabels = (id: string, content: NewLabel[]): Promise<LabelRecord[]> =>
  sendJson("PUT", `${raster(id)}/labels`, { labels: content });

export const fit = (request: { rasters: string[]; name: string; method: string }): Promise<JobRecord> =>
  sendJson("POST", "fit", request);
export const model = (id: string): Promise<ModelRecord> => get(`models/${encodeURIComponent(id)}`);
export const classify = (request: {
  raster: string;
  model: string;
  window: number;
  stride: number;
}): Promise<JobRecord> => sendJson("POST", "classify", request);
export const maps = (id: string): Promise<MapRecord[]> => get(`maps?raster=${encodeURIComponent(id)}`);
export const oneMap = (id: string): Promise<MapRecord> => get(`maps/${encodeURIComponent(id)}`);

export const jobs = (): Promise<JobRecord[]> => get("jobs");
export const job = (id: string): Promise<JobRecord> => get(`jobs/${encodeURIComponent(id)}`);
export const cancelJob = (id: string): Promise<JobRecord> => sendJson("POST", `jobs/${encodeURIComponent(id)}/cancel`);

/**
 * Describe a box; yield its words while they come, then the answer.
 *
 * @throws ConnectionError if the stream ends before it is done.
 */
export async function* describe(id: string, boxId: string, box: Box): AsyncGenerator<DescribeEvent> {
  const response = await send("describe/stream", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify({ raster: id, boxes: [{ box_id: boxId, box }] }),
  });
  try {
    for await (const { event, data } of eventsOf(response)) {
      const content = JSON.parse(data);
      if (event === "token" || event === "error") yield { kind: event, ...content };
      if (event === "answer") yield { kind: "answer", answer: content };
      if (event === "done") return;
    }
  } catch {
    throw new ConnectionError();
  }
  throw new ConnectionError();
}

/** The query of a raster's tiles: the server needs none, but the browser keeps them by address. */
export const bandsQuery = ({ shown_bands }: RasterRecord): string =>
  shown_bands === null ? "" : `?bands=${shown_bands.join(",")}`;

/** Fetch a file and let the browser keep it under a name. */
export async function download(path: string, name: string): Promise<void> {
  const content = await (await send(path)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has read it by then
}

export const answersFile = (id: string, format: AnswerFormat): string => `${raster(id)}/answers/export?format=${format}`;
export const mapFile = (id: string, format: MapFormat): string => `maps/${encodeURIComponent(id)}/export?format=${format}`;
