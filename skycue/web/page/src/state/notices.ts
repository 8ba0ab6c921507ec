/** Notices: what went wrong, and what is done. */
import { ConnectionError } from "../api/http";
import { isOffline, notices } from "./store";

const DONE_MS = 5000;
let next = 0;

/** Show a message; one that all is well goes away by itself. */
export function notify(kind: "error" | "done", text: string): void {
  if (notices.value.some((notice) => notice.text === text)) return;
  const id = next++;
  notices.value = [...notices.value.slice(-3), { id, kind, text }];
  if (kind === "done") setTimeout(() => dismiss(id), DONE_MS);
}

/** Take a message away. */
export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Run work and show what goes wrong with it; returns whether it went well. */
export async function attempt(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    isOffline.value = false;
    return true;
  } catch (error) {
    report(error);
    return false;
  }
}

/** Show an error; one of the line becomes the banner, not one message after the other. */
export function report(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ConnectionError) isOffline.value = true;
  else notify("error", error instanceof Error ? error.message : String(error));
}
