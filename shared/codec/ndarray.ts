import { ServiceError } from "../errors/service-error.ts";

const BRAND = Symbol.for("tandem.NDArray");

/** Element types, by numpy's names, with the typed array that holds them. `bool` is one byte an element, 0 or 1. */
export const DTYPES = {
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  float16: Float16Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

/** Most dimensions of an array. */
export const MAX_DIMENSIONS = 32;

export type DType = keyof typeof DTYPES;
export type DataOf<D extends DType> = InstanceType<(typeof DTYPES)[D]>;

/**
 * A dense array: `data` in C order unless `strides` (counted in elements, as torch does) say otherwise. A stride of 0
 * repeats a dimension without storing it, as `numpy.broadcast_to` does. The data are shared, never copied: treat an
 * array that you were given as read-only.
 */
export class NDArray<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DataOf<D>;
  /** Elements from one index to the next, a dimension; absent for C order. */
  readonly strides: readonly number[] | undefined;
  /** How the contract wants the array to travel; see `NDArrayOptions.wire`. */
  readonly wire: "bilevel" | undefined;

  /** @throws ServiceError INVALID_ARGUMENT when dtype, shape, strides and the data's length do not fit together. */
  constructor(dtype: D, shape: readonly number[], data: DataOf<D>, strides?: readonly number[], wire?: "bilevel") {
    const type = Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype] : undefined;
    if (!type) throw new ServiceError("INVALID_ARGUMENT", `unknown dtype ${String(dtype)}`);
    if (!(data instanceof type)) throw new ServiceError("INVALID_ARGUMENT", `dtype ${dtype} needs a ${type.name}`);
    if (shape.length > MAX_DIMENSIONS)
      throw new ServiceError("INVALID_ARGUMENT", `an array has at most ${MAX_DIMENSIONS} dimensions`);
    if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0))
      throw new ServiceError("INVALID_ARGUMENT", `shape [${shape}] must hold whole numbers from 0 up`);
    if (strides) {
      const last = shape.reduce((sum, n, axis) => sum + (n - 1) * (strides[axis] ?? Number.NaN), 0);
      const empty = shape.includes(0);
      const whole = strides.every((stride) => Number.isSafeInteger(stride) && stride >= 0);
      if (strides.length !== shape.length || !whole || !(empty || last < data.length))
        throw new ServiceError("INVALID_ARGUMENT", `strides [${strides}] of shape [${shape}] leave the data`);
    } else if (sizeOf(shape) !== data.length) {
      throw new ServiceError(
        "INVALID_ARGUMENT",
        `shape [${shape}] needs ${sizeOf(shape)} elements, not ${data.length}`,
      );
    }
    this.dtype = dtype;
    this.shape = shape;
    this.data = data;
    this.strides = strides;
    this.wire = wire;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** The same array in C order: itself where it is so already, else a copy. */
  contiguous(): NDArray<D> {
    if (!this.strides) return this;
    const out = new DTYPES[this.dtype](this.size) as DataOf<D>;
    if (out.length > 0) copyStrided(this.data, out, this.shape, this.strides);
    return new NDArray(this.dtype, this.shape, out);
  }

  /**
   * A view with `shape`, repeating dimensions of length 1 and adding dimensions in front (numpy's broadcasting rules).
   * @throws ServiceError INVALID_ARGUMENT when the shapes do not broadcast.
   */
  broadcastTo(shape: readonly number[]): NDArray<D> {
    const own = this.strides ?? cOrderStrides(this.shape);
    const lead = shape.length - this.shape.length;
    const strides = shape.map((n, axis) => {
      const from = axis < lead ? 1 : this.shape[axis - lead]!;
      if (from !== n && from !== 1)
        throw new ServiceError("INVALID_ARGUMENT", `shape [${this.shape}] does not broadcast to [${shape}]`);
      return axis < lead || (from === 1 && n !== 1) ? 0 : own[axis - lead]!;
    });
    if (lead < 0) throw new ServiceError("INVALID_ARGUMENT", `shape [${this.shape}] does not broadcast to [${shape}]`);
    return new NDArray(this.dtype, shape, this.data, strides);
  }

  /** The same array, marked to travel as the contract asks. */
  withWire(wire: "bilevel"): NDArray<D> {
    return this.wire === wire ? this : new NDArray(this.dtype, this.shape, this.data, this.strides, wire);
  }

  /** The same data under another shape with as many elements; strided arrays are made contiguous first. */
  reshape(shape: readonly number[]): NDArray<D> {
    return new NDArray(this.dtype, shape, this.contiguous().data);
  }

  static is(value: unknown): value is NDArray {
    return typeof value === "object" && value !== null && BRAND in value;
  }
}

/** Product of a shape's dimensions: 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Strides of a C-ordered array, in elements. */
export function cOrderStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  for (let axis = shape.length - 1, step = 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis]!;
  }
  return strides;
}

function copyStrided(
  from: ArrayLike<number | bigint>,
  to: { [index: number]: number | bigint },
  shape: readonly number[],
  strides: readonly number[],
): void {
  const last = shape.length - 1;
  let next = 0;
  const walk = (axis: number, offset: number): void => {
    const n = shape[axis] ?? 1;
    const stride = strides[axis] ?? 0;
    if (axis >= last) for (let i = 0; i < n; i++) to[next++] = from[offset + i * stride]!;
    else for (let i = 0; i < n; i++) walk(axis + 1, offset + i * stride);
  };
  walk(0, 0);
}
