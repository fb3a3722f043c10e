import { beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { type Apis, api, type CallContext, type Input, implement, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { Gate } from "../../contract/gate.ts";

log.level = "silent";

const Narrow = service("Narrow", {
  traffic: { maxConcurrency: 1 },
  apis: {
    hold: api({ input: z.object({ name: z.string() }), output: z.string() }),
    count: api({ stream: true, input: z.object({ name: z.string() }), output: z.string() }),
  },
});

let gates: Map<string, Gate>;
let order: string[];

class NarrowImpl extends implement(Narrow) implements Apis<typeof Narrow> {
  async hold({ name }: Input<typeof Narrow, "hold">, { signal }: CallContext): Promise<string> {
    order.push(name);
    await gateOf(name).pass(signal);
    return name;
  }

  async *count({ name }: Input<typeof Narrow, "count">, { signal }: CallContext): AsyncGenerator<string> {
    order.push(name);
    yield name;
    await gateOf(name).pass(signal);
  }
}

function gateOf(name: string): Gate {
  const gate = gates.get(name) ?? new Gate();
  gates.set(name, gate);
  return gate;
}

let host: ServiceHost;

beforeEach(async () => {
  gates = new Map();
  order = [];
  host = new ServiceHost(Narrow, new NarrowImpl());
  await host.start();
});

/** A call that has left a queue. */
const waiting = (name: string, more: object = {}): Promise<unknown> => {
  const answer = host.call("hold", { name }, { waits: true, ...more });
  answer.catch(() => undefined);
  return answer;
};
const code = (expected: string) => expect.objectContaining({ code: expected });

describe("a call that waits for a place", () => {
  it("gets it when the one before has ended, each in its turn", async () => {
    const answers = [waiting("a")];
    await gateOf("a").entered.happened;
    answers.push(waiting("b"), waiting("c"));
    for (const name of ["a", "b", "c"]) {
      await gateOf(name).entered.happened;
      expect(host.inFlight).toBe(1);
      gateOf(name).open();
    }
    expect(await Promise.all(answers)).toEqual(["a", "b", "c"]);
    expect(order).toEqual(["a", "b", "c"]);
    await vi.waitFor(() => expect(host.inFlight).toBe(0));
  });

  it("is not refused because others come at the same time", async () => {
    const answers = ["a", "b", "c"].map((name) => waiting(name));
    for (const name of ["a", "b", "c"]) gateOf(name).open();
    expect(await Promise.all(answers)).toEqual(["a", "b", "c"]);
  });

  it("is not refused where one that does not wait is", async () => {
    const first = waiting("a");
    await gateOf("a").entered.happened;
    const second = waiting("b");
    await expect(host.call("hold", { name: "c" })).rejects.toEqual(code("RESOURCE_EXHAUSTED"));
    for (const name of ["a", "b"]) gateOf(name).open();
    expect(await Promise.all([first, second])).toEqual(["a", "b"]);
  });

  it("waits for a stream's end", async () => {
    const items = (await host.call("count", { name: "a" })) as AsyncIterable<string>;
    const second = waiting("b");
    gateOf("a").open();
    gateOf("b").open();
    for await (const item of items) expect([item, order]).toEqual(["a", ["a"]]);
    expect(await second).toBe("b");
  });

  it("gives up at its deadline or when its caller does, and is never begun; those behind it get the place", async () => {
    const first = waiting("a");
    await gateOf("a").entered.happened;
    const caller = new AbortController();
    const canceled = waiting("b", { signal: caller.signal });
    const late = waiting("c", { deadline: Date.now() + 20 });
    const last = waiting("d");
    caller.abort();
    await expect(canceled).rejects.toEqual(code("CANCELED"));
    await expect(late).rejects.toEqual(code("DEADLINE_EXCEEDED"));
    for (const name of ["a", "d"]) gateOf(name).open();
    expect(await Promise.all([first, last])).toEqual(["a", "d"]);
    expect(order).toEqual(["a", "d"]);
  });

  it("that is canceled just as the place becomes free passes it on", async () => {
    for (let turns = 0; turns < 12; turns++) {
      gates.clear();
      const first = waiting("a");
      await gateOf("a").entered.happened;
      const caller = new AbortController();
      const canceled = waiting("b", { signal: caller.signal });
      const last = waiting("c");
      gateOf("b").open();
      gateOf("c").open();
      gateOf("a").open();
      // Some microtasks later: before, while and after the place goes to it.
      for (let i = 0; i < turns; i++) await Promise.resolve();
      caller.abort();
      expect(await first).toBe("a");
      await canceled.catch(() => undefined);
      expect(await last).toBe("c");
      await vi.waitFor(() => expect(host.inFlight).toBe(0));
    }
  });

  it("is UNAVAILABLE once the service stops, which it does not delay", async () => {
    const first = waiting("a");
    await gateOf("a").entered.happened;
    const second = waiting("b");
    const stopped = host.stop(30);
    await expect(second).rejects.toEqual(code("UNAVAILABLE"));
    gateOf("a").open();
    expect(await first).toBe("a");
    await stopped;
    expect(order).toEqual(["a"]);
  });
});
