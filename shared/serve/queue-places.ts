import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { QueueUrls } from "../delivery/message-queue.ts";
import type { SqsLocation } from "../transport/location.ts";

/** A service's queues, every one of them. */
export type ServiceQueues = { readonly [lane in keyof QueueUrls]-?: string };

/** Where the queues and the store of a served project are. */
export interface QueuePlaces {
  /** URL of the server that speaks SQS's protocol. */
  readonly endpoint: string;
  /** `file:` or `s3:` URL. */
  readonly storeUrl: string;
  /** Queues by service. */
  readonly services: Readonly<Record<string, ServiceQueues>>;
}

/** Where a service's calls are taken off, and answered. */
export function queueOf({ services, storeUrl }: QueuePlaces, service: string): SqsLocation {
  const { url, priorityUrl } = services[service]!;
  return { transport: "sqs", queueUrl: url, priorityQueueUrl: priorityUrl, storeUrl };
}

/** File of a data folder that says where the queues are (JSON), written whenever they have started. */
export const RUNNING_FILE = "running.json";

/** Account that emulators put into their queues' URLs. */
const ACCOUNT = "000000000000";

/** Names of a service's queues. */
export function queueNames(service: string, prefix = ""): ServiceQueues {
  const name = prefix + service;
  return { url: name, priorityUrl: `${name}-priority`, deadLetterUrl: `${name}-dead` };
}

/** Where the embedded queue of a data folder keeps everything. */
export function embeddedPlaces(port: number, services: readonly string[], folder: string): QueuePlaces {
  const endpoint = `http://127.0.0.1:${port}`;
  const urls = services.map((service) => {
    const { url, priorityUrl, deadLetterUrl } = queueNames(service);
    const at = (name: string): string => `${endpoint}/${ACCOUNT}/${name}`;
    return [service, { url: at(url), priorityUrl: at(priorityUrl), deadLetterUrl: at(deadLetterUrl) }] as const;
  });
  return { endpoint, storeUrl: diskStoreUrl(folder), services: Object.fromEntries(urls) };
}

/** URL of the store in a data folder. */
export function diskStoreUrl(folder: string): string {
  return pathToFileURL(join(folder, "store")).href;
}

/** What a project's queues on a server of the user's begin with: letters, digits, `-` and `_`, as SQS takes them. */
export function sharedPrefix(projectFolder: string): string {
  return `tandem-${basename(projectFolder).replaceAll(/[^\w-]/g, "-")}-`;
}

/** Name of a project's bucket on a server of the user's: small letters, digits and `-`, 63 at most, as S3 takes them. */
export function bucketName(projectFolder: string): string {
  const name = `tandem-${basename(projectFolder)
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, "-")}`;
  return name.slice(0, 63).replace(/-+$/, "");
}
