import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../src/api/events";

const STREAM = 'event: token\ndata: {"caption": "A tank"}\n\n: still here\n\ndata: one\r\ndata: two\r\n\r\nevent: done\ndata:0\n\n';
const EVENTS = [
  { event: "token", data: '{"caption": "A tank"}' },
  { event: "message", data: "one\ntwo" },
  { event: "done", data: "0" },
];

test("a stream gives the same events wherever it is cut", () => {
  for (let size = 1; size <= STREAM.length; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let start = 0; start < STREAM.length; start += size) events.push(...parser.push(STREAM.slice(start, start + size)));
    assert.deepEqual(events, EVENTS, `pieces of ${size}`);
  }
});

test("an event that was not ended is not given", () => {
  assert.deepEqual(new EventParser().push("event: answer\ndata: {}\n"), []);
});

test("an event without data is no event, and its name does not stick", () => {
  assert.deepEqual(new EventParser().push("event: a\n\ndata: b\n\n"), [{ event: "message", data: "b" }]);
});
