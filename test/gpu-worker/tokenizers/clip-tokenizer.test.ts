import { describe, expect, it } from "vitest";
import { ClipTokenizer } from "#gpu-worker/tokenizers/clip-tokenizer.ts";
import golden from "../../golden/pipeline/tokens.json" with { type: "json" };
import { MODEL_DIR } from "../model.ts";

describe.each(["tokenizer", "tokenizer_2"] as const)("ids of %s equal transformers'", async (name) => {
  const tokenizer = await ClipTokenizer.load(`${MODEL_DIR}/${name}`);
  const pad = golden[`${name}_padded_empty`];

  it.each(golden.strings.map((text, i) => ({ text, i })))("$text", ({ text, i }) => {
    const expected = golden[name][i]!;
    const { ids, dropped } = tokenizer.encode(text);
    expect(ids).toEqual([...expected, ...pad.slice(expected.length)]);
    expect(dropped).toBe(golden[`${name}_lengths`][i]! - expected.length);
  });
});

describe("ClipTokenizer", () => {
  it("takes a lone surrogate for the replacement character", async () => {
    const tokenizer = await ClipTokenizer.load(`${MODEL_DIR}/tokenizer`);
    expect(tokenizer.encode("a \ud800 b")).toEqual(tokenizer.encode("a \ufffd b"));
  });

  it("takes 4000 characters without a space in less than a second", async () => {
    const tokenizer = await ClipTokenizer.load(`${MODEL_DIR}/tokenizer`);
    const start = performance.now();
    expect(tokenizer.encode("redbluegreenabc".repeat(267)).dropped).toBeGreaterThan(0);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it("refuses a special token that the vocabulary lacks", () => {
    expect(() => new ClipTokenizer({ "<|startoftext|>": 0 }, [], {})).toThrow(/vocab.json has no <\|endoftext\|>/);
  });

  it("names the folder that doesn't load", async () => {
    await expect(ClipTokenizer.load("no/such/folder")).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringContaining("no/such/folder"),
    });
  });
});
