import "./browser";
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { ApiError } from "../src/api/http";
import { upload } from "../src/api/upload";
import { unfinishedUploads } from "../src/api/unfinished";

const CONTENT = "abcdefghij";
const CHUNK = 4;
const file = { name: "a.tif", size: CONTENT.length, lastModified: 7, slice: (from: number, to: number) => CONTENT.slice(from, to) } as unknown as File;
const quiet = (): void => undefined;
const never = new AbortController().signal;

type Loss = "request" | "answer" | "gateway";

/** Takes uploads as the server does, and loses what a test says. */
class FakeServer {
  readonly seen: string[] = [];
  readonly rasters: Record<string, string> = {};
  readonly open: Record<string, string> = {};
  private begun = 0;

  constructor(private readonly loses: (number: number, what: string) => Loss | null) {}

  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const what = `${init.method ?? "GET"} ${url.replace("v1/", "")}`;
    const loss = this.loses(this.seen.push(what) - 1, what);
    if (loss === "request") throw new TypeError("Failed to fetch");
    if (loss === "gateway") return new Response("<h1>Bad gateway</h1>", { status: 502 });
    const [status, content] = this.answer(what, init);
    if (loss === "answer") throw new TypeError("Failed to fetch");
    return new Response(JSON.stringify(content), { status });
  };

  private answer(what: string, init: RequestInit): [number, object] {
    if (what === "POST uploads") {
      const id = `u_${this.begun++}`;
      this.open[id] = "";
      return [201, this.view(id)];
    }
    const [, method, id, offset, finish] = /^(\w+) uploads\/(\w+)(?:\?offset=(\d+))?(\/finish)?$/.exec(what)!;
    const known = this.open[id!];
    if (finish !== undefined && this.rasters[id!] !== undefined) return [202, { id: `r_${id}` }];
    if (known === undefined) return [404, { error: { type: "NotFoundError", message: "no upload" } }];
    if (method === "GET") return [200, this.view(id!)];
    if (method === "PUT") {
      if (Number(offset) !== known.length) return [409, { error: { type: "ConflictError", message: "not the next" } }];
      this.open[id!] = known + String(init.body);
      return [200, this.view(id!)];
    }
    delete this.open[id!];
    if (method === "DELETE") return [200, {}];
    this.rasters[id!] = known;
    return [202, { id: `r_${id}` }];
  }

  private view = (id: string): object => ({ id, received: this.open[id]!.length, bytes: CONTENT.length, chunk_bytes: CHUNK });
}

function serve(loses: (number: number, what: string) => Loss | null): FakeServer {
  const server = new FakeServer(loses);
  Object.assign(globalThis, { fetch: server.fetch });
  return server;
}

beforeEach(() => {
  localStorage.setItem("skycue.uploads", "[]");
  Object.assign(globalThis, { setTimeout: (run: () => void) => setImmediate(run) }); // no waiting
});

test("a file becomes one raster, whatever request or answer is lost on the way", async () => {
  for (let lost = 0; lost < 5; lost += 1) {
    for (const loss of ["request", "answer", "gateway"] as const) {
      const server = serve((number) => (number === lost ? loss : null));
      await upload(file, quiet, never);
      assert.deepEqual(Object.values(server.rasters), [CONTENT], `${loss} ${lost}`);
      assert.ok(!server.seen.some((what) => what.startsWith("DELETE")), "nothing is thrown away");
      assert.deepEqual(unfinishedUploads(), []);
    }
  }
});

test("an upload waits as long as it takes, and tells that the line is broken", async () => {
  const server = serve((number) => (number > 1 && number < 200 ? "request" : null));
  const told: [number, boolean][] = [];
  await upload(file, (part, isBroken) => told.push([part, isBroken]), never);
  assert.equal(told.filter(([part, isBroken]) => isBroken && part === CHUNK / CONTENT.length).length, 198);
  assert.deepEqual(told.at(-1), [1, false]);
  assert.deepEqual(Object.values(server.rasters), [CONTENT]);
});

test("a page that was closed in the middle goes on when the file is chosen again", async () => {
  const closed = new Promise<never>(() => undefined);
  const before = serve(() => null);
  let chunks = 0;
  Object.assign(globalThis, {
    fetch: (url: string, init: RequestInit) => (init.method === "PUT" && chunks++ === 1 ? closed : before.fetch(url, init)),
  });
  void upload(file, quiet, never);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(before.open, { u_0: "abcd" });
  Object.assign(globalThis, { fetch: before.fetch });
  const other = { ...file, slice: file.slice, lastModified: 8 } as File;
  await upload(other, quiet, never);
  await upload(file, quiet, never);
  assert.deepEqual(before.rasters, { u_1: CONTENT, u_0: CONTENT });
  assert.equal(before.seen.filter((what) => what === "PUT uploads/u_0?offset=0").length, 1);
});

test("what the server refuses is told, and what it has is kept", async () => {
  const server = serve(() => null);
  server.fetch = ((inner) => async (url: string, init: RequestInit) =>
    init.method === "PUT" ? Response.json({ error: { type: "QuotaError", message: "no room" } }, { status: 429 }) : inner(url, init)
  )(server.fetch);
  Object.assign(globalThis, { fetch: server.fetch });
  await assert.rejects(upload(file, quiet, never), (error) => error instanceof ApiError && error.message === "no room");
  assert.deepEqual(server.open, { u_0: "" });
});

test("who stops an upload lets the server forget it, in the middle of a wait too", async () => {
  const stop = new AbortController();
  const server = serve((_, what) => (what.startsWith("PUT") ? "request" : null));
  await assert.rejects(upload(file, (_, isBroken) => isBroken && stop.abort(), stop.signal), { name: "AbortError" });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(server.open, {});
  assert.deepEqual(unfinishedUploads(), []);
});
