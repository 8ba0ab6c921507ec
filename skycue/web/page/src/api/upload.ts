/** Files go up in chunks; a chunk that got lost is sent again from where the server stands. */
import { ApiError, ConnectionError, get, send, sendJson } from "./http";
import type { RasterRecord, UploadView } from "./records";

/** Waits between tries; the last one is repeated. */
const WAITS_MS = [500, 1000, 2000, 4000, 8000];
const MAX_FAILURES = 20;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Send a file and return the raster that it becomes.
 *
 * @param progress told the part that has arrived, in [0, 1], and whether the line is broken.
 * @param signal stops it; the server forgets what it has.
 */
export async function upload(
  file: File,
  progress: (part: number, isBroken: boolean) => void,
  signal: AbortSignal,
): Promise<RasterRecord> {
  let state = await sendJson<UploadView>("POST", "uploads", { name: file.name, bytes: file.size });
  const path = `uploads/${state.id}`;
  try {
    let failures = 0; // since a chunk last arrived
    while (state.received < file.size) {
      progress(state.received / file.size, failures > 0);
      try {
        if (failures > 0) state = await get<UploadView>(path); // what arrived before the line broke
        if (state.received < file.size) state = await sendChunk(path, file, state, signal);
        failures = 0;
      } catch (error) {
        failures += 1;
        if (!(error instanceof ConnectionError) || failures > MAX_FAILURES) throw error;
        progress(state.received / file.size, true);
        await sleep(WAITS_MS[Math.min(failures, WAITS_MS.length) - 1]!);
        signal.throwIfAborted();
      }
    }
    progress(1, false);
    return await sendJson<RasterRecord>("POST", `${path}/finish`);
  } catch (error) {
    if (!(error instanceof ApiError)) void send(path, { method: "DELETE" }).catch(() => undefined);
    throw error;
  }
}

async function sendChunk(path: string, file: File, state: UploadView, signal: AbortSignal): Promise<UploadView> {
  const chunk = file.slice(state.received, state.received + state.chunk_bytes);
  const response = await send(`${path}?offset=${state.received}`, { method: "PUT", body: chunk, signal });
  return (await response.json()) as UploadView;
}
