import { type Calls, keyedCalls } from "../delivery/keyed-calls.ts";
import type { AccessAuthorization } from "../http/access-options.ts";
import { type AppOptions, createApp, DEFAULT_MAX_BODY_BYTES } from "../http/app.ts";
import { LambdaHttp } from "../http/lambda.ts";
import { Uploads } from "../http/uploads.ts";
import { log } from "../observability/log.ts";
import type { Service } from "../service/contract.ts";
import type { Deployable } from "../service/deployable.ts";
import { Discovery } from "../service/discovery.ts";
import { ServiceHost } from "../service/host.ts";
import { overridden } from "../service/overrides.ts";
import { lazyStore } from "../store/lazy-store.ts";
import { locationsFromEnvironment } from "../transport/location.ts";
import { ClaimChecks } from "./claim-checks.ts";

export interface WarmServiceOptions {
  /** Services that run in this function, too, where they have no location of their own. */
  readonly with?: readonly Deployable[] | undefined;
  /** Where uploads, and inputs and outputs over 6 MB are: `s3://bucket[/prefix]`. By default `TANDEM_STORE`. */
  readonly storeUrl?: string | undefined;
  /** By default one that knows the deployables and `TANDEM_SERVICES`. */
  readonly discovery?: Discovery | undefined;
  /** Who may use the HTTP face. Default `none`, which still asks for keys where `TANDEM_API_KEYS` has some. */
  readonly access?: AccessAuthorization | undefined;
  /**
   * What the HTTP face offers besides. By default what the environment says of access, rates and origins, and the
   * service's tasks where `TANDEM_SERVICES` gives it a queue.
   */
  readonly app?: AppOptions | undefined;
}

/** What answers calls, once the service has started. */
export interface Started {
  readonly host: ServiceHost;
  readonly calls: Calls;
  readonly http: LambdaHttp;
  /** What invocations may name; the HTTP face has them as well. */
  readonly uploads: Uploads | undefined;
}

/**
 * A service that lives as long as its function's environment: started while Lambda initialises it, kept between
 * invocations. `TANDEM_OVERRIDES` may give it another timeout and limit than its contract. Starting makes no network
 * call; clients and stores are made when they are first needed.
 */
export class WarmService {
  readonly checks: ClaimChecks;
  readonly #deployable: Deployable;
  readonly #discovery: Discovery;
  readonly #options: WarmServiceOptions;
  #started: Promise<Started> | undefined;

  constructor(deployable: Deployable, options: WarmServiceOptions = {}) {
    this.#deployable = overridden(deployable);
    const { service } = this.#deployable;
    this.#discovery = options.discovery ?? new Discovery(options.with);
    this.#options = { ...options, storeUrl: options.storeUrl ?? (process.env.TANDEM_STORE || undefined) };
    this.checks = new ClaimChecks(service.name, this.#options.storeUrl);
    this.started().catch((err: unknown) => log.error({ err, service: service.name }, "the service did not start"));
  }

  get service(): Service {
    return this.#deployable.service;
  }

  /** A start that failed is tried again with the next invocation. */
  async started(): Promise<Started> {
    this.#started ??= this.#start();
    try {
      return await this.#started;
    } catch (error) {
      this.#started = undefined;
      throw error;
    }
  }

  async #start(): Promise<Started> {
    const { service } = this.#deployable;
    const options = this.#options.app ?? (await appOptions(service, this.#options));
    const host = await ServiceHost.start(this.#deployable, this.#discovery);
    const http = new LambdaHttp(service, createApp(host, this.#discovery, options));
    const { ownQueue, store, maxBodyBytes: maxBytes = DEFAULT_MAX_BODY_BYTES } = options;
    const uploads = store && new Uploads({ service: service.name, store, maxBytes });
    return { host, calls: ownQueue ? keyedCalls(host, ownQueue) : host, http, uploads };
  }
}

/** What {@link publicOptions} reads. */
const PUBLIC = ["TANDEM_API_KEYS", "TANDEM_RATE_LIMIT", "TANDEM_CORS_ORIGINS", "TANDEM_MAX_BODY_MB"];

/** What the environment asks for. Of that which it does not ask for nothing is loaded: a start has no time for it. */
async function appOptions(
  service: Service,
  { access = "none", storeUrl }: Pick<WarmServiceOptions, "access" | "storeUrl">,
): Promise<AppOptions> {
  const location = locationsFromEnvironment()[service.name];
  const isLimited = access !== "none" || PUBLIC.some((name) => process.env[name]);
  return {
    ...(isLimited && (await import("../http/access-options.ts")).publicOptions(access)),
    ...(location?.transport === "sqs" && (await import("./own-queue.ts")).ownQueue(service, location)),
    ...(storeUrl !== undefined && { store: lazyStore(storeUrl) }),
  };
}
