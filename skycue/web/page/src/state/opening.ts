/** Rasters: those of the server, new ones from files, and the one that is looked at. */
import { batch } from "@preact/signals";
import * as client from "../api/client";
import { ConnectionError } from "../api/http";
import type { RasterRecord } from "../api/records";
import { unfinishedUploads, forgetUpload } from "../api/unfinished";
import { discard, stateOf, upload } from "../api/upload";
import { loadClasses } from "./classifying";
import { loadAnswers } from "./describing";
import { attempt, notify, report } from "./notices";
import {
  answers, classes, classMap, hovered, isOffline, isWorking, job, labels, pending, raster, rasters, selection, serverView,
  unfinished, uploads, wantsToken, type Upload,
} from "./store";

const POLL_MS = 700;
const LIST_POLL_MS = 2000;
let nextRefresh: number | undefined;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Ask the server what it has; open the raster that the address names, so that reloading keeps it. */
export async function start(): Promise<void> {
  await attempt(async () => {
    if ((await client.health()).needs_token) await client.server(); // asks for the token if it lacks
    await refresh();
    const named = rasters.value.find(({ id }) => id === location.hash.slice(1));
    if (named !== undefined) await open(named);
  });
}

/** Fetch the list of rasters, and how far uploads of earlier visits have come. */
export async function refresh(): Promise<void> {
  const [view, all] = await Promise.all([client.server(), client.rasters()]);
  batch(() => {
    serverView.value = view;
    rasters.value = all;
    wantsToken.value = false;
  });
  await findUnfinished();
  clearTimeout(nextRefresh);
  if (rasters.value.some(({ status }) => status === "preparing")) nextRefresh = window.setTimeout(refreshList, LIST_POLL_MS);
}

/** Look again at a list in which something is being prepared; while a raster is open nobody sees it. */
function refreshList(): void {
  if (raster.value === null) void attempt(refresh);
}

async function findUnfinished(): Promise<void> {
  const earlier = unfinishedUploads().filter(({ name }) => uploads.value.every((upload) => upload.name !== name));
  const found = await Promise.all(earlier.map(async ({ id }) => {
    const state = await stateOf(id);
    if (state === null) forgetUpload(id);
    return state === null ? [] : [{ id, name: state.name, part: state.received / state.bytes }];
  }));
  unfinished.value = found.flat();
}

/** Give up an upload of an earlier visit. */
export function discardUpload(id: string): void {
  discard(id);
  unfinished.value = unfinished.value.filter((upload) => upload.id !== id);
}

/** The raster whose answers and labels are here. */
let loaded: string | null = null;

/** Whether the answers and labels of a raster are here. */
export const isLoaded = (id: string): boolean => loaded === id;

/** Look at a raster; one that is still being prepared is waited for. */
export async function open(record: RasterRecord): Promise<void> {
  history.replaceState(null, "", `#${record.id}`);
  loaded = null;
  batch(() => {
    raster.value = record;
    for (const list of [answers, pending, selection, labels, classes]) list.value = [];
    hovered.value = null;
    classMap.value = null;
    job.value = null;
    isWorking.value = false;
  });
  const ready = await prepared(record);
  if (ready?.status !== "ready") return;
  await attempt(async () => {
    await Promise.all([loadAnswers(ready.id), loadClasses(ready.id)]);
    if (raster.value?.id === ready.id) loaded = ready.id;
  });
}

/** Go back to the list of rasters. */
export function close(): void {
  history.replaceState(null, "", location.pathname + location.search);
  raster.value = null;
  void attempt(refresh);
}

async function prepared(record: RasterRecord): Promise<RasterRecord | null> {
  let state = record;
  while (raster.value?.id === record.id) {
    if (state !== raster.value) raster.value = state;
    if (state.status !== "preparing") return state;
    await sleep(POLL_MS);
    try {
      if (state.job !== null) job.value = await client.job(state.job);
      state = await client.oneRaster(record.id);
      isOffline.value = false;
    } catch (error) {
      if (!(error instanceof ConnectionError)) {
        report(error);
        return null;
      }
      isOffline.value = true;
    }
  }
  return null;
}

/** Send files; the last of them is opened. */
export async function addFiles(files: readonly File[]): Promise<void> {
  for (const file of files) {
    const limit = serverView.value?.limits.max_upload_bytes;
    if (limit === undefined || file.size <= limit) await addFile(file);
    else notify("error", `${file.name} has ${fileSize(file.size)}; this server takes files of at most ${fileSize(limit)}.`);
  }
}

async function addFile(file: File): Promise<void> {
  const stop = new AbortController();
  const cancel = (): void => stop.abort();
  const others = (): Upload[] => uploads.value.filter((other) => other.cancel !== cancel);
  const show = (part: number, isBroken: boolean): void => {
    uploads.value = [...others(), { name: file.name, part, isBroken, cancel }];
  };
  show(0, false);
  unfinished.value = unfinished.value.filter(({ name }) => name !== file.name);
  try {
    const record = await upload(file, show, stop.signal);
    isOffline.value = false;
    rasters.value = [record, ...rasters.value];
    void open(record);
  } catch (error) {
    if (!stop.signal.aborted) notify("error", `${file.name}: ${(error as Error).message}`);
  } finally {
    uploads.value = others();
  }
}

/** Show other bands of the raster that is looked at; its tiles and what models see follow. */
export async function showBands(record: RasterRecord, bands: number[]): Promise<void> {
  await attempt(async () => {
    const changed = await client.showBands(record.id, bands);
    if (raster.value?.id === record.id) raster.value = changed;
  });
}

/** Delete a raster with all that belongs to it. */
export async function deleteRaster(record: RasterRecord): Promise<void> {
  await attempt(async () => {
    await client.deleteRaster(record.id);
    rasters.value = rasters.value.filter(({ id }) => id !== record.id);
    notify("done", `${record.name} is deleted.`);
  });
}

/** A number of bytes for people. */
export function fileSize(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log(Math.max(bytes, 1)) / Math.log(1000)), units.length - 1);
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
