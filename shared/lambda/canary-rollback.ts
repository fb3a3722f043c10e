import * as z from "zod/mini";
import { log } from "../observability/log.ts";
import { openStore } from "../store/open-store.ts";
import { offKey } from "./canary-split.ts";

/** As CloudWatch invokes a function (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html). */
const alarmSchema = z.object({
  alarmData: z.object({
    alarmName: z.string(),
    state: z.object({ value: z.string(), reason: z.optional(z.string()) }),
  }),
});

/** Versions by the alarm that watches them. */
const watchedSchema = z.record(z.string(), z.object({ label: z.string(), fingerprint: z.string() }));

/**
 * The Lambda handler that takes calls off a canary version: the action of the alarm that watches it. It leaves an object in
 * the deployment's store, which the entry's functions look for; the next deployment that changes the version puts calls on
 * it again. `TANDEM_CANARY_ALARMS` says which alarm is whose, `TANDEM_STORE` where the store is.
 * @throws Error for an event that is no alarm, or no version's; CloudWatch's message is tried again and told in the log.
 * @example export const handler = canaryRollback();
 */
export function canaryRollback(): (event: unknown) => Promise<{ off: string | null }> {
  return async (event) => {
    const { alarmName, state } = z.parse(alarmSchema, event).alarmData;
    const { TANDEM_CANARY_ALARMS = "{}", TANDEM_STORE = "" } = process.env;
    const version = z.parse(watchedSchema, JSON.parse(TANDEM_CANARY_ALARMS))[alarmName];
    if (!version) throw new TypeError(`alarm ${alarmName} is no canary version's`);
    if (state.value !== "ALARM") return { off: null };
    const why = JSON.stringify({ alarm: alarmName, reason: state.reason ?? "", at: new Date().toISOString() });
    const store = await openStore(TANDEM_STORE);
    try {
      await store.put(offKey(version), [Buffer.from(why)]);
    } finally {
      await store.close();
    }
    log.warn({ version: version.label, alarm: alarmName, reason: state.reason }, "the version gets no more calls");
    return { off: version.label };
  };
}
