import assert from "node:assert/strict";
import { test } from "node:test";
import { type Tree, complete, newRow, rowsOf, treeOf } from "../src/rows";

test("rows become the tree they came from", () => {
  const tree: Tree = {
    all: [
      { ask: "age", op: ">", number: 70 },
      { ask: "group", values: ["elderly", "disabled"] },
      { not: { ask: "received", values: ["meal"], days: 7 } },
      { ask: "others", values: ["#冬季救助"], days: 30, op: "<", number: 2 },
      { ask: "today", op: "<", date: "2027-03-01" },
      { not: { ask: "score", op: "<", number: 0.5 } },
    ],
  };
  const { rows, any } = rowsOf(tree);
  assert.equal(any, false);
  assert.deepEqual(treeOf(rows, any), tree);
  assert.deepEqual(treeOf(rows.slice(0, 2), true), { any: tree.all?.slice(0, 2) });
  assert.deepEqual(treeOf(rows.slice(0, 1), false), { ask: "age", op: ">", number: 70 });
});

test("a row that is not filled in says nothing", () => {
  for (const ask of ["age", "household", "group", "health", "received", "others", "score", "division", "today"]) {
    assert.equal(complete(newRow(ask)), false, ask);
  }
  assert.equal(treeOf([newRow("age")], false), undefined);
  assert.equal(complete({ ...newRow("household"), number: "0" }), true);
  assert.equal(complete({ ...newRow("received"), values: ["meal"], days: "" }), false);
});
