/**
 * What the server sends, field by field as in `skycue/service/records.py` and
 * `skycue/web/schemas.py`; `tests/web/test_page_records.py` compares the two.
 */

/** x_min, y_min, x_max, y_max in pixels of the raster. */
export type Box = [number, number, number, number];
export type Position = [number, number];

export interface Problem {
  type: string;
  message: string;
}

export interface Health {
  status: "ok";
  version: string;
  needs_token: boolean;
}

export interface Limits {
  max_upload_bytes: number;
  chunk_bytes: number;
  max_pixels: number;
  max_bands: number;
  max_boxes: number;
  quota_bytes: number;
}

export interface ServerView {
  version: string;
  region_model: string;
  methods: string[];
  limits: Limits;
  used_bytes: number;
}

export interface UploadView {
  id: string;
  name: string;
  bytes: number;
  received: number;
  chunk_bytes: number;
}

export interface TileGrid {
  grid: "pixels" | "mercator";
  min_zoom: number;
  max_zoom: number;
  tile_size: number;
  extent: [number, number, number, number];
}

export interface RasterRecord {
  id: string;
  name: string;
  status: "preparing" | "ready" | "failed";
  error: string | null;
  job: string | null;
  is_shared: boolean;
  bytes: number;
  height: number | null;
  width: number | null;
  bands: number | null;
  band_names: string[];
  shown_bands: number[] | null;
  dtype: string | null;
  crs: string | null;
  gsd_m: number | null;
  bounds_wgs84: [number, number, number, number] | null;
  grids: TileGrid[];
  created_at: string;
}

/** Where a pixel lies on the ground. */
export interface PositionView {
  longitude: number;
  latitude: number;
  crs: string;
  map_x: number;
  map_y: number;
}

/** A raster that can be looked at: its facts are known. */
export type ReadyRaster = RasterRecord & {
  status: "ready";
  height: number;
  width: number;
  bands: number;
  dtype: string;
};

export interface JobRecord {
  id: string;
  kind: "prepare" | "fit" | "classify";
  status: "queued" | "running" | "done" | "failed" | "cancelled";
  progress: number;
  message: string;
  raster: string | null;
  result: string | null;
  error: Problem | null;
  created_at: string;
  finished_at: string | null;
}

export interface ModelRecord {
  id: string;
  name: string;
  method: string;
  classes: string[];
  n_labels: number;
  is_shared: boolean;
  created_at: string;
}

export interface MapClass {
  name: string;
  colour: string;
}

export interface MapRecord {
  id: string;
  raster: string;
  model: string;
  classes: MapClass[];
  window: number;
  stride: number;
  size: [number, number];
  n_windows: number;
  n_skipped: number;
  created_at: string;
}

export interface LabelRecord {
  id: string;
  box: Box;
  class_name: string;
}

export interface PhraseView {
  text: string;
  name: string | null;
  span: [number, number];
  class_name: string | null;
  class_score: number | null;
  score: number;
  box: Box | null;
  outline: Position[][][];
  outline_wgs84: unknown;
  area_m2: number | null;
}

export interface AnswerRecord {
  id: string;
  raster: string;
  box_id: string;
  name: string | null;
  box: Box;
  caption: string;
  phrases: PhraseView[];
  prompted: number | null;
  flags: string[];
  model: string;
  windows: Box[];
  window: [number, number, number, number] | null;
  scale: number | null;
  created_at: string;
}

export interface AnswersView {
  answers: AnswerRecord[];
  can_undo: boolean;
}

export interface EditView {
  changed: AnswerRecord[];
  removed: string[];
  can_undo: boolean;
}
