import type { MessageQueue } from "#shared/delivery/message-queue.ts";

/**
 * A queue that delivers a share of its messages twice, as SQS may any of them.
 * @param twice hears of each.
 */
export function doublingQueue(queue: MessageQueue, share: number, twice: () => void): MessageQueue {
  const send: MessageQueue["send"] = async (message, options) => {
    await queue.send(message, options);
    if (Math.random() >= share) return;
    await queue.send(message, options);
    twice();
  };
  return new Proxy(queue, {
    get: (_target, name) => {
      if (name === "send") return send;
      const member: unknown = Reflect.get(queue, name);
      return typeof member === "function" ? member.bind(queue) : member;
    },
  });
}
