import type { ListenOptions } from "node:net";
import type { Locations, SqsLocation } from "../transport/location.ts";

/** What the supervisor tells a worker in `TANDEM_WORKER` (JSON). */
export interface WorkerSettings {
  folder: string;
  configFile: string | undefined;
  service: string;
  listen: Pick<ListenOptions, "host" | "port" | "path">;
  locations: Locations;
  /** Where the worker finds its service's own queue; undefined where there is none. */
  queue: SqsLocation | undefined;
  /** Seconds that calls in work get when the worker is told to stop. */
  graceSeconds: number;
}

/** How a process is: whether it should go on, and whether it takes calls. */
export interface Health {
  live: boolean;
  ready: boolean;
}

export type ToWorker =
  | { type: "stop" }
  | { type: "metrics"; id: number; text: string }
  | { type: "health"; id: number };
export type FromWorker =
  | { type: "started"; url: string }
  | { type: "metrics"; id: number }
  | ({ type: "health"; id: number } & Health);
