/**
 * What a service's author and its callers import: contracts, implementations, clients, values and errors.
 * @module
 */
export { type ImageFormat, ImageValue } from "./codec/image.ts";
export { type DataOf, type DType, NDArray } from "./codec/ndarray.ts";
export { bytes, image, ndarray } from "./codec/schemas.ts";
export { ERROR_CODES, type ErrorCode } from "./errors/codes.ts";
export { type ErrorDetail, ServiceError } from "./errors/service-error.ts";
export type { Client } from "./service/client.ts";
export type { CallContext, CallOptions } from "./service/context.ts";
export {
  type Apis,
  api,
  type Input,
  type InputOf,
  named,
  type Output,
  type Service,
  service,
} from "./service/contract.ts";
export { createClient, type StandaloneClient } from "./service/create-client.ts";
export { type Deployable, deployable } from "./service/deployable.ts";
export { type DependsOptions, implement, type Lifecycle } from "./service/implementation.ts";
