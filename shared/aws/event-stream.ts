import { EventStreamCodec } from "@smithy/core/event-streams";

const CODEC = new EventStreamCodec(
  (bytes) => Buffer.from(bytes).toString("utf8"),
  (text) => Buffer.from(text),
);

/** Media type of a body in AWS's event stream encoding. */
export const EVENT_STREAM_TYPE = "application/vnd.amazon.eventstream";

/**
 * One event as AWS's services send it in a stream
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html tells the encoding).
 * @param payload bytes as they are, or what is sent as JSON.
 */
export function encodeEvent(type: string, payload: Uint8Array | object): Uint8Array {
  const binary = payload instanceof Uint8Array;
  const contentType = binary ? "application/octet-stream" : "application/json";
  return CODEC.encode({
    headers: {
      ":message-type": { type: "string", value: "event" },
      ":event-type": { type: "string", value: type },
      ":content-type": { type: "string", value: contentType },
    },
    body: binary ? payload : Buffer.from(JSON.stringify(payload)),
  });
}
