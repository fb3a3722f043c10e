import { describe, expect, test } from "vitest";
import { ImageValue } from "#shared/index.ts";
import { encodeItem } from "#shared/transport/frame-items.ts";
import { all, painterTasks } from "./fixture.ts";

const NOW = 1_700_000_000_000;
const PNG = Uint8Array.from(Buffer.from("iVBORw0KGgo=", "base64"));
const picture = new ImageValue(Uint8Array.of(1), "png");
const report = (sequence: number, more = {}) => ({
  run: "run-1",
  startedAt: NOW,
  at: NOW,
  sequence,
  fraction: sequence / 10,
  ...more,
});

async function submitted(api = "paint", options: Parameters<typeof painterTasks>[0] = {}) {
  const made = await painterTasks(options);
  const { task_id: id } = await made.tasks.submit(api, api === "paint" ? { prompt: "a" } : {});
  const events = async (options = {}) => (await made.tasks.events(api, id, options))[Symbol.asyncIterator]();
  return { ...made, id, events };
}

describe("events", () => {
  test("queued, each newest report, the result, the end", async () => {
    const { id, events, objects } = await submitted();
    const reader = await events();
    const next = async () => (await reader.next()).value;
    expect(await next()).toMatchObject({ event: "queued", data: { ahead: null, eta: null } });
    await objects.putProgress(id, report(0));
    expect(await next()).toMatchObject({ event: "progress", data: { fraction: 0 } });
    await objects.putProgress(id, report(1));
    await objects.putProgress(id, report(4, { preview: PNG }));
    const preview = "data:image/png;base64,iVBORw0KGgo=";
    expect(await next()).toMatchObject({ event: "progress", data: { fraction: 0.4, preview } });
    // Its lease is written again, with nothing new.
    await objects.putProgress(id, report(4, { at: NOW + 5000 }));
    await objects.putProgress(id, report(1, { run: "run-2" }));
    expect(await next()).toMatchObject({ event: "progress", data: { fraction: 0.1 } });
    await objects.putResult(id, { output: picture, finishedAt: NOW });
    expect(await next()).toEqual({
      id: "end",
      event: "result",
      data: { status: "completed", url: `/paint/get?task_id=${id}` },
    });
    expect((await reader.next()).done).toBe(true);
  });

  test("a failure with all that is known of it; a cancel is one", async () => {
    const { id, tasks, objects } = await submitted();
    const error = { error: "rude", code: "INVALID_ARGUMENT" as const, detail: [{ path: ["prompt"], message: "rude" }] };
    await objects.putResult(id, { error, finishedAt: NOW });
    expect(await all(await tasks.events("paint", id))).toEqual([
      { id: "end", event: "error", data: { status: "failed", ...error } },
    ]);

    const other = await submitted();
    await other.tasks.cancel("paint", other.id);
    expect((await (await other.events()).next()).value).toMatchObject({
      event: "error",
      data: { status: "canceled", code: "CANCELED" },
    });
  });

  test("a stream's items as they are stored, then the result", async () => {
    const { id, events, objects } = await submitted("stream");
    const value = (n: number) => encodeItem({ kind: "value", value: { n } });
    await objects.putProgress(id, report(0));
    await objects.putItems(id, 0, [...value(0), ...value(1)]);
    const reader = await events();
    const next = async () => {
      const { event, data } = (await reader.next()).value;
      return [event, data];
    };
    expect([await next(), await next()]).toEqual([
      ["item", { n: 0 }],
      ["item", { n: 1 }],
    ]);
    expect(await next()).toEqual(["progress", { fraction: 0 }]);
    await objects.putItems(id, 1, value(2));
    expect(await next()).toEqual(["item", { n: 2 }]);
    await objects.putItems(id, 2, [...value(3), ...encodeItem({ kind: "end" })]);
    await objects.putResult(id, { output: { pieces: 3 }, finishedAt: NOW });
    expect([await next(), (await next())[0]]).toEqual([["item", { n: 3 }], "result"]);
    expect((await reader.next()).done).toBe(true);
  });

  test("bytes as base64, and the failure that a stream ends with", async () => {
    const { id, tasks, objects } = await submitted("chunks");
    const error = { error: "enough", code: "CONFLICT" as const };
    await objects.putItems(id, 0, [
      ...encodeItem({ kind: "value", value: Uint8Array.of(1) }),
      ...encodeItem({ kind: "end" }),
    ]);
    await objects.putResult(id, { error, finishedAt: NOW });
    const seen = await all(await tasks.events("chunks", id));
    expect(seen.map(({ event, data }) => [event, data])).toEqual([
      ["item", "AQ=="],
      ["error", { status: "failed", ...error }],
    ]);
  });

  test("whoever comes back goes on after the last event seen: no item twice, none left out", async () => {
    const { id, tasks, objects } = await submitted("stream");
    const value = (n: number) => encodeItem({ kind: "value", value: { n } });
    await objects.putProgress(id, report(3));
    await objects.putItems(id, 0, [...value(0), ...value(1)]);
    await objects.putItems(id, 1, [...value(2), ...value(3), ...encodeItem({ kind: "end" })]);
    const live = (await tasks.events("stream", id))[Symbol.asyncIterator]();
    const seen = [];
    for (let n = 0; n < 5; n++) seen.push((await live.next()).value);
    expect(seen.map(({ event }) => event)).toEqual(["item", "item", "item", "item", "progress"]);
    await objects.putResult(id, { output: { pieces: 2 }, finishedAt: NOW });
    for (let last = 0; last < 5; last++) {
      const rest = await all(await tasks.events("stream", id, { lastEventId: seen[last].id }));
      expect(rest.map(({ event, data }) => [event, data])).toEqual([
        ...seen.slice(last + 1, 4).map(({ event, data }) => [event, data]),
        ["result", { status: "completed", url: `/stream/get?task_id=${id}` }],
      ]);
    }
    expect(await all(await tasks.events("stream", id, { lastEventId: "end" }))).toEqual([]);
    const whole = await all(await tasks.events("stream", id, { lastEventId: "somebody else's" }));
    expect(whole.length).toBe(5);
  });

  test("a report that was seen does not come again", async () => {
    const { id, tasks, objects } = await submitted();
    await objects.putProgress(id, report(3));
    const first = (await tasks.events("paint", id))[Symbol.asyncIterator]();
    const { id: lastEventId } = (await first.next()).value;
    const second = (await tasks.events("paint", id, { lastEventId }))[Symbol.asyncIterator]();
    const following = second.next();
    await objects.putResult(id, { output: picture, finishedAt: NOW });
    expect((await following).value).toMatchObject({ event: "result" });
  });

  test("the place in the queue, and its estimate", async () => {
    const eta = { seconds: 3, low: 2, high: 5, ahead: 1, reason: "queued" } as const;
    const { events } = await submitted("paint", {
      estimates: { place: async () => undefined, eta: async () => eta },
    });
    expect((await (await events()).next()).value).toMatchObject({ event: "queued", data: { ahead: 1, eta } });
  });

  test("without news it says that it lives, and goes on where it was", async () => {
    const { id, events, objects } = await submitted();
    await objects.putProgress(id, report(2));
    const reader = await events({ keepAliveMs: 1 });
    const { value: told } = await reader.next();
    expect((await reader.next()).value).toEqual({ id: told.id, event: "keep-alive", data: {} });
  });

  test("ends when its reader goes, even while it waits", async () => {
    const { events } = await submitted();
    const gone = new AbortController();
    const reader = await events({ signal: gone.signal });
    await reader.next();
    const waiting = reader.next();
    gone.abort();
    expect((await waiting).done).toBe(true);
  });
});
