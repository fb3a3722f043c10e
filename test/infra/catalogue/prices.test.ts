import { expect, it } from "vitest";
import { EC2_PRICES, EC2_SIZES, EC2_TYPES } from "#infra/catalogue/ec2-types.ts";
import { PRICES, type Price } from "#infra/catalogue/prices.ts";
import { secondsPerCall } from "#infra/catalogue/seconds-per-call.ts";

const prices = Object.entries(PRICES).flatMap(([name, value]): [string, Price | undefined][] =>
  "usd" in value
    ? [[name, value]]
    : Object.entries<Price | undefined>(value).map(([architecture, price]) => [`${name} of ${architecture}`, price]),
);

it.each(prices.filter(([, price]) => price))("%s says of what it is, where it was read and when", (_, price) => {
  expect(price).toEqual({
    usd: expect.toSatisfy((usd: number) => usd > 0),
    per: expect.stringMatching(/\w/),
    date: expect.stringMatching(/^20\d\d-\d\d-\d\d$/),
    source: expect.stringMatching(/^https:\/\//),
  });
});

it("says where EC2's figures were read", () => {
  for (const { date, source } of [EC2_PRICES, EC2_SIZES]) {
    expect(date).toMatch(/^2026-\d\d-\d\d$/);
    expect(source).toMatch(/^https:\/\//);
  }
});

it("estimates a call on every GPU of the catalogue, on better ones no more seconds", () => {
  for (const { gpuType } of EC2_TYPES) expect(secondsPerCall(gpuType), gpuType).toBeGreaterThan(0);
  const [t4, l4, a10g, l40s, h100] = (
    ["nvidia-tesla-t4", "nvidia-l4", "nvidia-a10g", "nvidia-l40s", "nvidia-h100-80gb"] as const
  ).map((type) => secondsPerCall(type)!);
  expect([t4, l4, a10g, l40s, h100]).toEqual([23.3, 15.5, 11.6, 4.6, 3.1]);
  expect(secondsPerCall("amd-mi300x")).toBeUndefined();
});
