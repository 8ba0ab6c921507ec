/** The line to the server: while it is broken, the page looks whether it is back, and goes on then. */
import { effect } from "@preact/signals";
import * as client from "../api/client";
import { reloadClasses } from "./classifying";
import { loadAnswers } from "./describing";
import { attempt } from "./notices";
import { isLoaded, refresh, start } from "./opening";
import { isOffline, readyRaster, returns, serverView } from "./store";

/** The banner names it. */
const LOOK_EVERY_MS = 2000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Follow the line from now on. */
export function watchLine(): void {
  let wasOffline = false;
  effect(() => {
    const isBroken = isOffline.value;
    if (isBroken === wasOffline) return;
    wasOffline = isBroken;
    queueMicrotask(() => void (isBroken ? lookUntilBack() : goOn()));
  });
}

/** See whether the server answers again. */
export async function look(): Promise<void> {
  try {
    await client.health();
    isOffline.value = false;
  } catch {
    // not yet; or the server is there and its database is not
  }
}

async function lookUntilBack(): Promise<void> {
  while (isOffline.value) {
    await sleep(LOOK_EVERY_MS);
    if (isOffline.value) await look();
  }
}

/** Show what the server has: a change may have arrived though its answer did not. */
async function goOn(): Promise<void> {
  returns.value += 1;
  if (serverView.value === null) return start();
  const opened = readyRaster.value;
  await attempt(async () => {
    await refresh();
    if (opened === null || opened.id !== readyRaster.value?.id) return;
    if (isLoaded(opened.id)) await Promise.all([loadAnswers(opened.id), reloadClasses(opened.id)]);
    else await start(); // it was being opened when the line broke
  });
}
