import assert from "node:assert/strict";
import { test } from "node:test";
import { History } from "../src/state/history";

test("states come back in reverse order, then no more", () => {
  const history = new History<number>();
  history.remember(1);
  history.remember(2);
  assert.equal(history.undo(), 2);
  assert.equal(history.undo(), 1);
  assert.equal(history.canUndo, false);
  assert.equal(history.undo(), undefined);
});

test("the oldest states are forgotten first", () => {
  const history = new History<number>();
  for (let state = 0; state < 500; state += 1) history.remember(state);
  let last = -1;
  while (history.canUndo) last = history.undo()!;
  assert.equal(last, 300);
});
