import assert from "node:assert/strict";
import { test } from "node:test";
import { piecesOf } from "../src/ui/caption_pieces";

const CAPTION = "A tank is left of a quay.";

test("a caption is cut at its phrases and nothing of it is lost", () => {
  const pieces = piecesOf(CAPTION, [{ span: [0, 6] }, { span: [18, 24] }]);
  assert.deepEqual(pieces, [
    { text: "A tank", phrase: 0 },
    { text: " is left of ", phrase: null },
    { text: "a quay", phrase: 1 },
    { text: ".", phrase: null },
  ]);
});

test("phrases are found in any order and keep their numbers", () => {
  assert.deepEqual(
    piecesOf(CAPTION, [{ span: [18, 24] }, { span: [0, 6] }]).map(({ phrase }) => phrase),
    [1, null, 0, null],
  );
});

test("spans count characters as Python does, not UTF-16 units", () => {
  const pieces = piecesOf("𝒜 tank, a quay", [{ span: [8, 14] }]);
  assert.equal(pieces.find(({ phrase }) => phrase === 0)?.text, "a quay");
});

test("of overlapping spans the first keeps the words; empty ones and those outside are left out", () => {
  const pieces = piecesOf(CAPTION, [{ span: [0, 6] }, { span: [2, 9] }, { span: [7, 7] }, { span: [90, 95] }]);
  assert.equal(pieces.map(({ text }) => text).join(""), CAPTION);
  assert.deepEqual(pieces.map(({ phrase }) => phrase), [0, null]);
});

test("a caption without phrases is one piece, an empty one none", () => {
  assert.deepEqual(piecesOf("Nothing.", []), [{ text: "Nothing.", phrase: null }]);
  assert.deepEqual(piecesOf("", []), []);
});
