import { describe, expect, it } from "vitest";
import { parseDuration } from "#shared/config/duration.ts";
import { Unreadable } from "#shared/config/faults.ts";
import { parseCpu, parseMemory } from "#shared/config/quantity.ts";

const Gi = 2 ** 30;

describe("quantities", () => {
  it.each([
    [2, 2],
    ["0.5", 0.5],
    ["400m", 0.4],
    [0.001, 0.001],
    ["1m", 0.001],
    [0.1 + 0.2, 0.3],
  ])("cpu %s is %d cores", (text, cores) => expect(parseCpu(text)).toBe(cores));

  it.each(["0.5m", 0.0001, "0", "0m", "-1", "1e3", "2 cores", "", "400M", 1e-7])("cpu %s is refused", (text) => {
    expect(() => parseCpu(text)).toThrow(Unreadable);
  });

  it.each([
    ["1Gi", Gi],
    ["1GiB", Gi],
    ["500Mi", 500 * 2 ** 20],
    ["2G", 2e9],
    ["1.5Gi", 1.5 * Gi],
    ["0.3G", 3e8],
    ["134217728", 2 ** 27],
    [4, 4 * Gi],
    [0.5, Gi / 2],
  ])("memory %s is %d bytes", (text, bytes) => expect(parseMemory(text)).toBe(bytes));

  it.each(["lots", "1constructor", "400m", "1gi", "1Pi", "1.1Gi", "-1Gi", "1023Ki", "", "9999999Ti", "1 G i"])(
    "memory %s is refused",
    (text) => {
      expect(() => parseMemory(text)).toThrow(Unreadable);
    },
  );

  it.each([
    [700, 700],
    [0.5, 0.5],
    ["90s", 90],
    ["15m", 900],
    ["1.5m", 90],
    ["1h30m", 5400],
    ["250ms", 0.25],
  ])("%s is %d seconds", (text, seconds) => expect(parseDuration(text)).toBe(seconds));

  it.each(["90", "1d", "15 m", "m", "-5s", "", "0.0001s", 0.0001, "1M"])("%s is no duration", (text) => {
    expect(() => parseDuration(text)).toThrow(Unreadable);
  });
});
