import type { ListenOptions } from "node:net";
import type { Locations } from "../transport/location.ts";
import type { QueuePlaces } from "./queue-places.ts";

/** What the supervisor tells a worker in `TANDEM_WORKER` (JSON). */
export interface WorkerSettings {
  folder: string;
  configFile: string | undefined;
  service: string;
  listen: Pick<ListenOptions, "host" | "port" | "path">;
  locations: Locations;
  /** Where the worker finds its service's own queue; undefined where there is none. */
  queues: QueuePlaces | undefined;
  /** Seconds that calls in work get when the worker is told to stop. */
  graceSeconds: number;
}

export type ToWorker = { type: "stop" } | { type: "metrics"; id: number; text: string };
export type FromWorker = { type: "started"; url: string } | { type: "metrics"; id: number };
