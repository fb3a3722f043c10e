import type { AlarmPlan, CanaryPlan, ServicePlan } from "./deployment-plan.ts";
import { type Namer, versionNamer } from "./names.ts";

const MINUTE = 60;

/** What somebody should be told of. Thresholds are exceeded, but for `gpu-idle` and `no-replica`, which are fallen below. */
export function alarmsOf(services: readonly ServicePlan[], naming: Namer): AlarmPlan[] {
  return services.flatMap((service) => {
    const { name } = service;
    const alarm = (
      metric: AlarmPlan["metric"],
      threshold: number,
      [period, periods]: [number, number],
      description: string,
    ): AlarmPlan => ({
      physicalName: naming("alarm", name, metric),
      service: name,
      metric,
      threshold,
      period,
      periods,
      description,
    });
    const alarms: AlarmPlan[] = [
      alarm(
        "error-rate",
        5,
        [MINUTE, 5],
        `More than 5 % of ${name}'s calls fail for reasons that are not the caller's: look at its log.`,
      ),
    ];
    if (service.queue) {
      const start = "startEstimate" in service ? service.startEstimate.total : 0;
      alarms.push(
        alarm(
          "queue-age",
          Math.ceil(service.timeout + start),
          [MINUTE, 5],
          `Calls wait in ${name}'s queue for longer than they may take: raise max_replicas, or see why replicas do not start.`,
        ),
        alarm(
          "dead-letters",
          0,
          [MINUTE, 1],
          `A call of ${name} was given up after ${service.queue.maxReceiveCount} tries: "tandem queue peek" shows it, and "tandem queue redrive" sends it again.`,
        ),
      );
    }
    if (service.kind === "function")
      alarms.push(
        alarm(
          "throttles",
          0,
          [MINUTE, 3],
          `${name} is called more often than its concurrency allows: raise max_replicas, or the account's quota.`,
        ),
      );
    if (service.kind === "gpu" || service.kind === "container") alarms.push(noReplica(service, alarm));
    if (service.kind === "gpu")
      alarms.push(
        alarm(
          "gpu-idle",
          5,
          [5 * MINUTE, 12],
          `${name}'s GPUs have done next to nothing for an hour and are paid for: lower min_replicas, or the window of scaling in.`,
        ),
      );
    return alarms;
  });
}

/**
 * What somebody should be told of a canary version, and the alarm that takes its calls off it: over 5 % of them fail, and
 * three at the least, within five minutes.
 */
export function versionAlarms(canary: CanaryPlan | undefined, entry: string, naming: Namer): AlarmPlan[] {
  return (canary?.versions ?? []).flatMap(({ label, services }) => {
    const named = versionNamer(naming, label, () => true);
    // The entry's own calls are counted by who hands them over: its function has no URL.
    const told = alarmsOf(services, named).filter(
      ({ service, metric }) => service !== entry || metric !== "error-rate",
    );
    const errors: AlarmPlan = {
      physicalName: named("alarm", entry, "version-errors"),
      service: entry,
      version: label,
      metric: "version-errors",
      threshold: 5,
      period: 5 * MINUTE,
      periods: 1,
      description: `More than 5 % of the calls of version ${label} fail for reasons that are not the caller's: it gets no more of them until it is deployed anew.`,
    };
    return [
      errors,
      ...told.map((alarm) => ({ ...alarm, version: label, description: `Version ${label}: ${alarm.description}` })),
    ];
  });
}

function noReplica(
  service: Extract<ServicePlan, { kind: "gpu" | "container" }>,
  alarm: (metric: "no-replica", threshold: number, times: [number, number], description: string) => AlarmPlan,
): AlarmPlan {
  const { name } = service;
  const start = service.kind === "gpu" ? service.startEstimate.total : 2 * MINUTE;
  const periods = Math.ceil((2 * start) / MINUTE);
  return alarm(
    "no-replica",
    1,
    [MINUTE, periods],
    `${name} has had work and no replica for ${periods} minutes: its instances may be sold out, or its tasks fail to start.`,
  );
}
