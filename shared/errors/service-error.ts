import { ERROR_CODES, type ErrorCode } from "./codes.ts";

const BRAND = Symbol.for("tandem.ServiceError");

/** One fault of an input: where it is and what is wrong with it. */
export interface ErrorDetail {
  /** Path of the field, from the api's input: `["params", "prompt"]`. */
  path: (string | number)[];
  message: string;
}

export interface ServiceErrorOptions {
  detail?: ErrorDetail[];
  /** Seconds after which a retry makes sense; sent as `Retry-After`. */
  retryAfter?: number;
  /** The service that raised the error, when it is not the one that answers. */
  service?: string;
  cause?: unknown;
}

/** What crosses the wire of a {@link ServiceError}. Causes and stacks stay on the server. */
export interface ServiceErrorJson {
  error: string;
  code: ErrorCode;
  detail?: ErrorDetail[];
  retry_after?: number;
  service?: string;
}

/** The error every service throws and every caller catches. Recognised by brand, so that two bundled copies agree. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly code: ErrorCode;
  readonly detail: ErrorDetail[] | undefined;
  readonly retryAfter: number | undefined;
  readonly service: string | undefined;

  constructor(code: ErrorCode, message: string, options: ServiceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = options.detail;
    this.retryAfter = options.retryAfter;
    this.service = options.service;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** HTTP status of the code. */
  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  toJSON(): ServiceErrorJson {
    return {
      error: this.message,
      code: this.code,
      ...(this.detail && { detail: this.detail }),
      ...(this.retryAfter !== undefined && { retry_after: this.retryAfter }),
      ...(this.service !== undefined && { service: this.service }),
    };
  }

  static fromJSON(json: ServiceErrorJson): ServiceError {
    const code = Object.hasOwn(ERROR_CODES, json.code) ? json.code : "INTERNAL";
    return new ServiceError(code, json.error, {
      ...(json.detail && { detail: json.detail }),
      ...(json.retry_after !== undefined && { retryAfter: json.retry_after }),
      ...(json.service !== undefined && { service: json.service }),
    });
  }

  /** The same error, saying which service raised it unless it says so already. */
  raisedBy(service: string): ServiceError {
    if (this.service !== undefined) return this;
    const { detail, retryAfter, cause } = this;
    return new ServiceError(this.code, this.message, {
      service,
      ...(detail && { detail }),
      ...(retryAfter !== undefined && { retryAfter }),
      ...(cause !== undefined && { cause }),
    });
  }

  static is(error: unknown): error is ServiceError {
    return typeof error === "object" && error !== null && BRAND in error;
  }

  /** The error itself if it is one of ours; anything else becomes INTERNAL, with the original kept as its cause. */
  static from(error: unknown): ServiceError {
    if (ServiceError.is(error)) return error;
    return new ServiceError("INTERNAL", "the service failed unexpectedly; its log has the cause", { cause: error });
  }
}
