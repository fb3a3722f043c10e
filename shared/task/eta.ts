/** When a call's result can be expected, from what the service has taken of late. Seconds from now. */
export interface Eta {
  readonly seconds: number;
  readonly low: number;
  readonly high: number;
  /** Calls that come before it. */
  readonly ahead: number;
  /** What the estimate rests on, in words. */
  readonly reason: string;
}
