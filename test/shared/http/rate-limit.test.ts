import { afterEach, describe, expect, it, vi } from "vitest";
import { networkOf, parseRate, RateLimit } from "#shared/http/rate-limit.ts";

afterEach(() => {
  vi.useRealTimers();
});

describe("a rate limit", () => {
  it("lets as many come at once as the rate names, and the next when there is a token for it", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const limit = new RateLimit(parseRate("60/minute"));
    for (let i = 0; i < 60; i++) expect(limit.take("a")).toBeUndefined();
    expect(limit.take("a")).toBe(1);
    vi.advanceTimersByTime(500);
    expect(limit.take("a")).toBeCloseTo(0.5);
    vi.advanceTimersByTime(510);
    expect(limit.take("a")).toBeUndefined();
    expect(limit.take("a")).toBeCloseTo(0.99);
    // An hour gives no more than a full bucket.
    vi.advanceTimersByTime(3_600_000);
    for (let i = 0; i < 60; i++) expect(limit.take("a")).toBeUndefined();
    expect(limit.take("a")).toBe(1);
  });

  it("remembers so many callers and no more, the latest", () => {
    const limit = new RateLimit(parseRate("1/day"), 2);
    for (const caller of ["a", "b"]) expect(limit.take(caller)).toBeUndefined();
    expect(limit.take("a")).toBeGreaterThan(0);
    expect(limit.take("c")).toBeUndefined();
    expect(limit.take("a")).toBeGreaterThan(0);
    expect(limit.take("b")).toBeUndefined();
  });
});

describe("networkOf", () => {
  it.each([
    ["198.51.100.7", "198.51.100.7"],
    ["::ffff:198.51.100.7", "198.51.100.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::6", "2001:db8:1:2::/64"],
    ["2001:db8::6", "2001:db8:0:0::/64"],
    ["2001:db8::", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["", ""],
  ])("of %j is %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
