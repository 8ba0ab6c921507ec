import assert from "node:assert/strict";
import { test } from "node:test";
import { Queue } from "../src/state/queue";

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test("work runs in its order, however long each takes", async () => {
  const queue = new Queue();
  const done: string[] = [];
  const slow = queue.run(async () => {
    await later(20);
    done.push("slow");
  });
  const quick = queue.run(async () => void done.push("quick"));
  await Promise.all([quick, slow]);
  assert.deepEqual(done, ["slow", "quick"]);
});

test("what fails does not stop what comes after, and its maker learns of it", async () => {
  const queue = new Queue();
  const failing = queue.run(() => Promise.reject(new Error("no")));
  const next = queue.run(() => Promise.resolve("yes"));
  await assert.rejects(failing, /no/);
  assert.equal(await next, "yes");
});
