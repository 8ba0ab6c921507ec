/**
 * Files go up in chunks. Whatever breaks, an upload goes on from where the server stands: after a
 * pause of the line, a restart of the server, or when the file is chosen again in a new tab.
 */
import { ApiError, ConnectionError, get, remove, send, sendJson } from "./http";
import type { RasterRecord, UploadView } from "./records";
import { forgetUpload, recall, remember } from "./unfinished";

/** Waits between tries; the last one is repeated until the line is back or the user stops. */
const WAITS_MS = [500, 1000, 2000, 4000, 8000];
const NOT_FOUND = 404;
/** The server waited for a chunk in vain, or another request is at the same upload. */
const PASSING = [408, 409];

const pathOf = (id: string): string => `uploads/${encodeURIComponent(id)}`;

/**
 * Send a file and return the raster that it becomes.
 *
 * @param progress told the part that has arrived, in [0, 1], and whether the line is broken.
 * @param signal stops it; the server forgets what it has.
 * @throws ApiError if the server refuses; what has arrived is kept there.
 */
export async function upload(
  file: File,
  progress: (part: number, isBroken: boolean) => void,
  signal: AbortSignal,
): Promise<RasterRecord> {
  let [part, failures] = [0, 0];
  let state: UploadView | null = null; // null: the server must be asked
  for (;;) {
    try {
      signal.throwIfAborted();
      const next: UploadView | RasterRecord = state === null ? await ask(file) : await step(file, state, signal);
      if (!("received" in next)) return next;
      state = next;
      failures = 0;
      part = state.received / file.size;
      progress(part, false);
    } catch (error) {
      if (signal.aborted) discard(recall(file)?.id);
      if (signal.aborted || !isPassing(error)) throw error;
      state = null;
      failures += 1;
      progress(part, true);
      await pause(WAITS_MS[Math.min(failures, WAITS_MS.length) - 1]!, signal);
    }
  }
}

/** Let the server forget an upload; should it not hear of it, it does so by itself after a while. */
export function discard(id: string | undefined): void {
  if (id === undefined) return;
  forgetUpload(id);
  void remove(pathOf(id)).catch(() => undefined);
}

/** Where an upload stands; null if the server knows it no more. */
export async function stateOf(id: string): Promise<UploadView | null> {
  return unlessMissing(get<UploadView>(pathOf(id)));
}

/** Where the upload of a file stands, begun if need be; its raster, if only that answer got lost. */
async function ask(file: File): Promise<UploadView | RasterRecord> {
  const known = recall(file);
  if (known !== null) {
    const found = (await stateOf(known.id)) ?? (await unlessMissing(finish(known.id)));
    if (found !== null) return found;
    forgetUpload(known.id);
  }
  const begun = await sendJson<UploadView>("POST", "uploads", { name: file.name, bytes: file.size });
  remember(begun.id, file);
  return begun;
}

/** Send the next chunk, or finish after the last. */
async function step(file: File, { id, received, chunk_bytes }: UploadView, signal: AbortSignal): Promise<UploadView | RasterRecord> {
  if (received === file.size) return finish(id);
  const body = file.slice(received, received + chunk_bytes);
  const response = await send(`${pathOf(id)}?offset=${received}`, { method: "PUT", body, signal });
  return (await response.json()) as UploadView;
}

async function finish(id: string): Promise<RasterRecord> {
  const raster = await sendJson<RasterRecord>("POST", `${pathOf(id)}/finish`);
  forgetUpload(id);
  return raster;
}

/** Wait, but no longer than until the signal. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

function isPassing(error: unknown): boolean {
  return error instanceof ConnectionError || (error instanceof ApiError && PASSING.includes(error.status));
}

async function unlessMissing<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === NOT_FOUND) return null;
    throw error;
  }
}
