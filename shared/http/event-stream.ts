import type { TaskEvent } from "../task/task-events.ts";

/**
 * An answer of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): one is made when the
 * one before it has been taken.
 * @param open gives the events; its signal fires when the reader goes. What it throws comes before the answer.
 */
export async function eventStream(
  open: (signal: AbortSignal) => Promise<AsyncIterable<TaskEvent>>,
  gone: AbortSignal,
): Promise<Response> {
  const canceled = new AbortController();
  const events = (await open(AbortSignal.any([gone, canceled.signal])))[Symbol.asyncIterator]();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await events.next();
        if (next.done) controller.close();
        else controller.enqueue(encoded(next.value));
      },
      cancel: (reason) => canceled.abort(reason),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      // nginx would gather events before it passes them on.
      "x-accel-buffering": "no",
    },
  });
}

function encoded({ id, event, data }: TaskEvent): Uint8Array {
  return Buffer.from(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}
