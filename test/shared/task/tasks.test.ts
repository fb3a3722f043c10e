import { describe, expect, test } from "vitest";
import { decodeFrame } from "#shared/codec/frame.ts";
import { ImageValue, NDArray, ServiceError } from "#shared/index.ts";
import { encodeItem } from "#shared/transport/frame-items.ts";
import { all, painterTasks, SentMessages } from "./fixture.ts";

const NOW = 1_700_000_000_000;
const canceled = { error: "stop", code: "CANCELED" } as const;
const failed = { error: "no luck", code: "UNAVAILABLE", detail: [{ path: ["prompt"], message: "rude" }] } as const;
const picture = new ImageValue(Uint8Array.of(1, 2, 3), "webp");

describe("submit", () => {
  test("stores the checked input and sends its message", async () => {
    const { tasks, queue, objects } = await painterTasks();
    const arr = new NDArray("uint8", [2], Uint8Array.of(3, 4));
    const before = Date.now();
    const submitted = await tasks.submit(
      "paint",
      { prompt: "a cat", arr },
      { callId: "c-1", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", accept: "image/webp" },
    );
    expect(submitted).toEqual({ task_id: expect.stringMatching(/^[0-9a-f]{32}$/), status: "pending" });
    expect(queue.sent.length).toBe(1);
    const { call, input } = queue.calls[0]!;
    expect(input).toBeUndefined();
    expect(call).toMatchObject({
      kind: "call",
      id: submitted.task_id,
      api: "paint",
      callId: "c-1",
      accept: "image/webp",
    });
    expect(call.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-/);
    expect([call.listened, call.startBy, call.callback]).toEqual([true, undefined, undefined]);
    expect(call.deadline).toBeGreaterThanOrEqual(before + 86_400_000);
    const stored = decodeFrame((await objects.input(submitted.task_id))!) as {
      prompt: string;
      steps: number;
      arr: NDArray;
    };
    expect([stored.prompt, stored.steps, ...stored.arr.data]).toEqual(["a cat", 2, 3, 4]);
  });

  test("a deadline, a time to wait, a lane", async () => {
    const high = new SentMessages();
    const { tasks, queue } = await painterTasks({ priorityQueue: high });
    const before = Date.now();
    await tasks.submit("paint", { prompt: "a" }, { priority: "high", timeout: 5, maxQueueTime: 2.5 });
    await tasks.submit("paint", { prompt: "a" }, { priority: "normal", timeout: 1e9 });
    const after = Date.now();
    const { call } = high.calls[0]!;
    for (const [time, seconds] of [
      [call.deadline, 5],
      [call.startBy!, 2.5],
      [queue.calls[0]!.call.deadline, 86_400],
    ] as const) {
      expect(time).toBeGreaterThanOrEqual(before + seconds * 1000);
      expect(time).toBeLessThanOrEqual(after + seconds * 1000);
    }
  });

  test.each([
    ["an unknown api", "sculpt", {}, {}, "NOT_FOUND"],
    ["what every object has", "toString", {}, {}, "NOT_FOUND"],
    ["a wrong input", "paint", { prompt: 1 }, {}, "INVALID_ARGUMENT"],
    ["no time at all", "paint", { prompt: "a" }, { timeout: 0 }, "INVALID_ARGUMENT"],
    ["a time that is none", "paint", { prompt: "a" }, { maxQueueTime: Number.NaN }, "INVALID_ARGUMENT"],
    ["an empty key", "paint", { prompt: "a" }, { idempotencyKey: "" }, "INVALID_ARGUMENT"],
    ["a key with a line break", "paint", { prompt: "a" }, { idempotencyKey: "a\nb" }, "INVALID_ARGUMENT"],
    ["an unknown priority", "paint", { prompt: "a" }, { priority: "urgent" as "high" }, "INVALID_ARGUMENT"],
  ])("%s is refused, and nothing is stored or sent", async (_what, api, input, options, code) => {
    const { tasks, queue, store } = await painterTasks();
    await expect(tasks.submit(api, input, options)).rejects.toMatchObject({ code });
    expect([queue.sent, await store.list("Painter/")]).toEqual([[], []]);
  });

  test("a callback that is not allowed is refused; one that is travels along", async () => {
    const allowCallback = (url: string): void => {
      if (url !== "https://a.example/") throw new ServiceError("PERMISSION_DENIED", "no");
    };
    const { tasks, queue } = await painterTasks({ allowCallback });
    await expect(tasks.submit("paint", { prompt: "a" }, { callback: "https://b.example/" })).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
    await tasks.submit("paint", { prompt: "a" }, { callback: "https://a.example/" });
    expect(queue.calls.map(({ call }) => call.callback)).toEqual(["https://a.example/"]);
  });
});

describe("an idempotency key", () => {
  const key = { idempotencyKey: "order-7" };

  test("the same input is the same task, sent once", async () => {
    const { tasks, queue, again, objects } = await painterTasks();
    const first = await tasks.submit("paint", { prompt: "a", steps: 2 }, key);
    expect(first.task_id).toMatch(/^k[0-9a-f]{32}$/);
    expect(await again().submit("paint", { steps: 2, prompt: "a" }, key)).toEqual(first);
    await objects.putResult(first.task_id, { output: picture, finishedAt: NOW });
    expect(await again().submit("paint", { prompt: "a" }, key)).toEqual({ ...first, status: "completed" });
    expect(queue.sent.length).toBe(1);
    expect(queue.calls[0]!.call.idempotencyKey).toBe("order-7");
  });

  test("another input is a conflict, and leaves the task's own as it was", async () => {
    const { tasks, queue, objects } = await painterTasks();
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" }, key);
    await expect(tasks.submit("paint", { prompt: "b" }, key)).rejects.toMatchObject({ code: "CONFLICT" });
    expect(decodeFrame((await objects.input(id))!)).toEqual({ prompt: "a", steps: 2 });
    expect(queue.sent.length).toBe(1);
    const elsewhere = await tasks.submit("describe", {}, key);
    expect(elsewhere.task_id).not.toBe(id);
  });

  test("who comes at once with the same key gets one task", async () => {
    const { again } = await painterTasks();
    const submitted = await Promise.all([1, 2, 3, 4].map(() => again().submit("paint", { prompt: "a" }, key)));
    expect(new Set(submitted.map(({ task_id }) => task_id)).size).toBe(1);
    await expect(again().status("paint", submitted[0]!.task_id)).resolves.toMatchObject({ status: "pending" });
  });

  // Each write of a submission fails in turn, as if its process died there.
  test.each(["key", "input", "record", "message", "mark"])(
    "dies at its %s: the next one finishes it",
    async (where) => {
      const { tasks, queue, store, again } = await painterTasks();
      const put = store.put.bind(store);
      const died = new Error("died");
      let records = 0;
      if (where === "message") queue.failure = died;
      store.put = async (name, chunks, options) => {
        if (name.includes("/tasks/")) records++;
        const dies = where === "record" ? records === 1 : where === "mark" ? records === 2 : name.endsWith(`/${where}`);
        if (dies) throw died;
        return put(name, chunks, options);
      };
      await expect(tasks.submit("paint", { prompt: "a" }, key)).rejects.toBe(died);
      store.put = put;
      const { task_id: id } = await again().submit("paint", { prompt: "a" }, key);
      expect(await again().status("paint", id)).toMatchObject({ status: "pending" });
      // At least once: whoever died after sending is not known to have sent.
      expect(queue.calls.map(({ call }) => call.id)).toEqual(where === "mark" ? [id, id] : [id]);
    },
  );

  test("a call that is waited for has used the key: its result is the task's, its failure is not", async () => {
    const { tasks, queue, objects } = await painterTasks();
    const { task_id: done } = await tasks.submit("paint", { prompt: "a" }, key);
    const other = await painterTasks();
    const fingerprint = (await objects.key(done))!.fingerprint;
    await other.objects.claimKey(done, { fingerprint, createdAt: NOW });
    await other.objects.putResult(done, { output: picture, finishedAt: NOW });
    expect(await other.tasks.submit("paint", { prompt: "a" }, key)).toEqual({ task_id: done, status: "completed" });
    expect(await other.tasks.result("paint", done)).toEqual(picture);
    expect(other.queue.sent).toEqual([]);

    const third = await painterTasks();
    await third.objects.claimKey(done, { fingerprint, createdAt: NOW });
    await third.objects.putResult(done, { error: canceled, finishedAt: NOW });
    expect(await third.tasks.submit("paint", { prompt: "a" }, key)).toEqual({ task_id: done, status: "pending" });
    expect([queue.sent.length, third.queue.sent.length]).toEqual([1, 1]);
  });

  test("of an expired task is gone", async () => {
    const { tasks } = await painterTasks({ retentionSeconds: 0 });
    await tasks.submit("paint", { prompt: "a" }, key);
    await expect(tasks.submit("paint", { prompt: "a" }, key)).rejects.toMatchObject({ code: "GONE" });
  });
});

describe("status and result", () => {
  test("follow what the worker writes", async () => {
    const { tasks, objects } = await painterTasks();
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" });
    const times = {
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      executed_at: null,
      completed_at: null,
    };
    expect(await tasks.status("paint", id)).toEqual({ task_id: id, status: "pending", ...times });
    await expect(tasks.result("paint", id)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: `task ${id} is not completed yet`,
    });
    await objects.putProgress(id, { run: "r", startedAt: NOW, at: NOW, sequence: 1, fraction: 0.25 });
    const executed_at = "2023-11-14T22:13:20.000Z";
    expect(await tasks.status("paint", id)).toMatchObject({ status: "in_progress", progress: 0.25, executed_at });
    await expect(tasks.result("paint", id)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await objects.putResult(id, { output: picture, startedAt: NOW, finishedAt: NOW + 1500 });
    expect(await tasks.status("paint", id)).toEqual({
      task_id: id,
      status: "completed",
      created_at: times.created_at,
      executed_at,
      completed_at: "2023-11-14T22:13:21.500Z",
      progress: 1,
    });
    expect(await tasks.result("paint", id)).toEqual(picture);
  });

  test.each([
    ["failed", failed],
    ["canceled", canceled],
  ])("%s: the stored error is thrown", async (status, error) => {
    const { tasks, objects } = await painterTasks();
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" });
    await objects.putResult(id, { error: structuredClone(error) as never, finishedAt: NOW });
    expect(await tasks.status("paint", id)).toMatchObject({ status, executed_at: null });
    const thrown = await tasks.result("paint", id).catch((error: ServiceError) => error.toJSON());
    expect(thrown).toEqual(error);
  });

  test("a stream is given again from its pieces, up to its own end", async () => {
    const { tasks, objects } = await painterTasks();
    const { task_id: id } = await tasks.submit("stream", {});
    const value = (n: number) => encodeItem({ kind: "value", value: { n } });
    await objects.putItems(id, 0, [...value(0), ...encodeItem({ kind: "progress", fraction: 0.5 }), ...value(1)]);
    await objects.putItems(id, 1, [...value(2), ...encodeItem({ kind: "end" })]);
    await objects.putResult(id, { output: { pieces: 2 }, finishedAt: NOW });
    expect(await all((await tasks.result("stream", id)) as AsyncIterable<unknown>)).toEqual([
      { n: 0 },
      { n: 1 },
      { n: 2 },
    ]);
  });

  test("a stream with a piece missing says so", async () => {
    const { tasks, objects } = await painterTasks();
    const { task_id: id } = await tasks.submit("stream", {});
    await objects.putItems(id, 0, encodeItem({ kind: "value", value: { n: 0 } }));
    await objects.putResult(id, { output: { pieces: 2 }, finishedAt: NOW });
    await expect(all((await tasks.result("stream", id)) as AsyncIterable<unknown>)).rejects.toMatchObject({
      code: "GONE",
    });
  });

  test.each(["nothing", "", "../calls/x", "a/b", "x".repeat(65)])("the id %j is not found", async (id) => {
    const { tasks } = await painterTasks();
    for (const ask of ["status", "result", "cancel", "retry", "events"] as const)
      await expect(tasks[ask]("paint", id)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("another api's task is not found, an expired one is gone", async () => {
    const { tasks } = await painterTasks();
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" });
    await expect(tasks.status("describe", id)).rejects.toMatchObject({ code: "NOT_FOUND" });
    const { tasks: brief } = await painterTasks({ retentionSeconds: 0 });
    const { task_id: old } = await brief.submit("paint", { prompt: "a" });
    for (const ask of ["status", "result", "cancel", "retry", "events"] as const)
      await expect(brief[ask]("paint", old)).rejects.toMatchObject({ code: "GONE" });
  });

  test("an estimate while it is not finished, from its place at submission and its progress", async () => {
    const eta = { seconds: 3, low: 2, high: 5, ahead: 1, reason: "queued" } as const;
    const asked: unknown[] = [];
    const { tasks, objects } = await painterTasks({
      estimates: {
        place: async (priority) => ({ ahead: priority === "high" ? 1 : 4, finished: 9 }),
        eta: async ({ id, place }, progress) => {
          asked.push([id, place, progress?.fraction]);
          return eta;
        },
      },
    });
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" }, { priority: "high" });
    const place = { ahead: 1, finished: 9 };
    expect(await tasks.status("paint", id)).toMatchObject({ eta });
    await objects.putProgress(id, { run: "r", startedAt: NOW, at: NOW, sequence: 1, fraction: 0.5 });
    await tasks.status("paint", id);
    expect(asked).toEqual([
      [id, place, undefined],
      [id, place, 0.5],
    ]);
    await objects.putResult(id, { output: picture, finishedAt: NOW });
    expect(await tasks.status("paint", id)).not.toHaveProperty("eta");
    expect(asked.length).toBe(2);
  });
});

describe("cancel", () => {
  test("writes the result that stops the work", async () => {
    const { tasks, objects } = await painterTasks();
    const { task_id: waiting } = await tasks.submit("paint", { prompt: "a" });
    expect(await tasks.cancel("paint", waiting)).toMatchObject({ status: "canceled", executed_at: null });
    expect(await objects.putResult(waiting, { output: picture, finishedAt: NOW })).toBe(false);
    expect(await tasks.status("paint", waiting)).toMatchObject({ status: "canceled" });

    const { task_id: running } = await tasks.submit("paint", { prompt: "a" });
    await objects.putProgress(running, { run: "r", startedAt: NOW, at: NOW, sequence: 1, fraction: 0.5 });
    expect(await tasks.cancel("paint", running)).toMatchObject({
      status: "canceled",
      executed_at: "2023-11-14T22:13:20.000Z",
    });
    await expect(tasks.result("paint", running)).rejects.toMatchObject({ code: "CANCELED" });
  });

  test("a finished task stays what it was", async () => {
    const { tasks, objects } = await painterTasks();
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" });
    await objects.putResult(id, { output: picture, finishedAt: NOW });
    expect(await tasks.cancel("paint", id)).toMatchObject({ status: "completed" });
    expect(await tasks.result("paint", id)).toEqual(picture);
  });
});

describe("retry", () => {
  test("is a new task with the same input and options", async () => {
    const high = new SentMessages();
    const { tasks, queue, objects } = await painterTasks({ priorityQueue: high, allowCallback: () => {} });
    const options = {
      priority: "high",
      callback: "https://a.example/",
      accept: "image/png",
      callId: "c",
      timeout: 9,
    } as const;
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" }, { ...options, idempotencyKey: "k" });
    await expect(tasks.retry("paint", id)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await objects.putResult(id, { error: structuredClone(failed) as never, finishedAt: NOW });
    const before = Date.now();
    const retried = await tasks.retry("paint", id);
    expect(retried).toEqual({ task_id: expect.stringMatching(/^[0-9a-f]{32}$/), status: "pending" });
    expect([high.sent.length, queue.sent.length]).toEqual([2, 0]);
    const { call } = high.calls[1]!;
    expect(call).toMatchObject({
      id: retried.task_id,
      api: "paint",
      callback: options.callback,
      accept: "image/png",
      callId: "c",
    });
    expect(call.idempotencyKey).toBeUndefined();
    expect(call.deadline).toBeGreaterThanOrEqual(before + 9000);
    expect(decodeFrame((await objects.input(call.id))!)).toEqual({ prompt: "a", steps: 2 });
    expect(await tasks.status("paint", id)).toMatchObject({ status: "failed" });
    expect(await tasks.status("paint", call.id)).toMatchObject({ status: "pending" });
  });
});
