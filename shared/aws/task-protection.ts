import { log } from "../observability/log.ts";

/** Minutes for which ECS keeps a task from being scaled in; renewed before half of them are over. */
const EXPIRES_IN_MINUTES = 30;
const DEADLINE_MS = 5_000;

/**
 * Keeps ECS from stopping this task for a scale-in while it works: the task protection endpoint of the container agent
 * (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html). Outside of ECS,
 * where `ECS_AGENT_URI` is not set, there is nothing to protect.
 */
export class TaskProtection {
  readonly #url: string;
  #wanted = false;
  #asking: Promise<void> | undefined;
  #asked: boolean | undefined;
  #renewal: NodeJS.Timeout | undefined;

  constructor(agentUri: string) {
    this.#url = `${agentUri}/task-protection/v1/state`;
  }

  static fromEnvironment(): TaskProtection | undefined {
    const uri = process.env.ECS_AGENT_URI;
    return uri ? new TaskProtection(uri) : undefined;
  }

  /** Asks for protection, or gives it up. Requests follow one another; what was wanted last holds. */
  readonly protect = (busy: boolean): void => {
    this.#wanted = busy;
    clearInterval(this.#renewal);
    if (busy) {
      const renew = (): void => {
        this.#asked = undefined;
        this.protect(true);
      };
      this.#renewal = setTimeout(renew, (EXPIRES_IN_MINUTES / 2) * 60_000).unref();
    }
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
  };

  /** Waits until the agent has heard what was wanted last. */
  async settled(): Promise<void> {
    clearInterval(this.#renewal);
    await this.#asking;
  }

  async #ask(): Promise<void> {
    while (this.#asked !== this.#wanted) {
      const wanted = this.#wanted;
      this.#asked = wanted;
      try {
        const response = await fetch(this.#url, {
          method: "PUT",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ ProtectionEnabled: wanted, ...(wanted && { ExpiresInMinutes: EXPIRES_IN_MINUTES }) }),
          signal: AbortSignal.timeout(DEADLINE_MS),
        });
        const answer = (await response.json()) as { failure?: unknown; error?: unknown };
        const failure = answer.failure ?? answer.error;
        if (!response.ok || failure)
          log.warn({ failure, status: response.status }, "ECS did not change the protection");
      } catch (err) {
        log.warn({ err }, "the ECS agent cannot be reached; this task may be scaled in while it works");
      }
    }
  }
}
