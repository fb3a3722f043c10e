import { setTimeout as delay } from "node:timers/promises";
import { log } from "../../observability/log.ts";
import { ExecutionEnvironment, type FunctionSettings, type InvocationResult } from "./execution-environment.ts";

export interface LocalFunctionSettings extends FunctionSettings {
  /** Environments at once; an event that finds them all at work is throttled. */
  readonly concurrency: number;
}

/** Milliseconds that an environment with nothing to do is kept; AWS says no figure. */
const KEEP_WARM_MS = 10 * 60_000;
const DRAIN_LOOK_MS = 20;

/**
 * A Lambda function on this machine: an execution environment for each event that is worked on, kept warm for the next
 * one, started where none is free.
 */
export class LocalFunction {
  readonly settings: LocalFunctionSettings;
  /** Milliseconds that each environment's initialisation took. */
  readonly initMs: number[] = [];
  readonly #environments = new Map<ExecutionEnvironment, NodeJS.Timeout>();
  #starting = 0;
  #stopping = false;

  constructor(settings: LocalFunctionSettings) {
    this.settings = settings;
  }

  /** Process ids of the environments. */
  get pids(): number[] {
    return [...this.#environments.keys()].flatMap(({ pid }) => pid ?? []);
  }

  /** Takes an event to an environment that is free, or to a new one; undefined where all are at work. */
  async invoke(event: string): Promise<InvocationResult | undefined> {
    const environment = [...this.#environments.keys()].find(({ idle }) => idle) ?? (await this.#start());
    if (!environment) return undefined;
    this.#environments.get(environment)?.refresh();
    const isNew = environment.initMs === undefined;
    const result = await environment.invoke(event);
    if (isNew && environment.initMs !== undefined) this.initMs.push(environment.initMs);
    return result;
  }

  /** Takes no more events, lets those in work finish for so many seconds, and ends the environments. */
  async stop(graceSeconds = 0): Promise<void> {
    this.#stopping = true;
    const end = performance.now() + graceSeconds * 1000;
    const busy = (): boolean => this.#starting > 0 || [...this.#environments.keys()].some(({ idle }) => !idle);
    while (busy() && performance.now() < end) await delay(DRAIN_LOOK_MS);
    const gone = [...this.#environments.keys()].map((environment) => {
      environment.stop();
      return environment.gone;
    });
    await Promise.all(gone);
  }

  async #start(): Promise<ExecutionEnvironment | undefined> {
    if (this.#stopping || this.#environments.size + this.#starting >= this.settings.concurrency) return undefined;
    this.#starting++;
    try {
      const environment = await ExecutionEnvironment.start(this.settings);
      const timer: NodeJS.Timeout = setTimeout(() => {
        if (environment.idle) environment.stop();
        else timer.refresh();
      }, KEEP_WARM_MS);
      this.#environments.set(environment, timer);
      void environment.gone.then(() => {
        clearTimeout(timer);
        this.#environments.delete(environment);
        if (!this.#stopping) log.debug({ function: this.settings.name, pid: environment.pid }, "an environment ended");
      });
      return environment;
    } finally {
      this.#starting--;
    }
  }
}
