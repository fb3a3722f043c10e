/** CloudWatch's name of what a number counts. */
export type Unit = "Count" | "Seconds" | "Milliseconds" | "Count/Second" | "Percent" | "Bytes";

/** Most values that one member of a line may have: the specification's limit. */
const MAX_VALUES = 100;

interface Measure {
  readonly unit: Unit;
  /** The sum, or the highest level, since the last line. */
  number: number;
  /** What it stands at now. */
  level: number;
  /** Values since the last line; beyond {@link MAX_VALUES} of them, so many taken by chance. */
  readonly values: number[];
  seen: number;
}

interface Group {
  readonly dimensions: Readonly<Record<string, string>>;
  readonly measures: Map<string, Measure>;
}

/**
 * Gathers measurements and writes them as CloudWatch's Embedded Metric Format, which CloudWatch makes metrics of where it
 * finds it in a log (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
 * One line has what one service's api did since the line before: counts are differences, not totals. The dimensions are
 * `Service` and, of what belongs to an api, `Api`; error codes and outcomes are part of a metric's name, so that there are
 * no more metrics than the contracts have apis. Powertools' Metrics keeps single values and writes whenever it has 100.
 */
export class EmfRecorder {
  readonly #groups = new Map<string, Group>();
  readonly #version: string | undefined;

  /** @param version label of the canary version that this process is of: a dimension more, `Version`. */
  constructor(version?: string) {
    this.#version = version;
  }

  /** Adds to a count. */
  add(service: string, api: string | undefined, name: string, amount = 1): void {
    this.#measure(service, api, name, "Count").number += amount;
  }

  /** Records one value of many, of which CloudWatch works out percentiles. */
  observe(service: string, api: string | undefined, name: string, unit: Unit, value: number): void {
    if (!Number.isFinite(value)) return;
    const measure = this.#measure(service, api, name, unit);
    const place = measure.seen++ < MAX_VALUES ? measure.values.length : Math.floor(Math.random() * measure.seen);
    if (place < MAX_VALUES) measure.values[place] = value;
  }

  /** Moves a level, of which the highest is told. */
  move(service: string, api: string, name: string, by: number): void {
    const measure = this.#measure(service, api, name, "Count");
    measure.level += by;
    measure.number = Math.max(measure.number, measure.level);
  }

  /** What there is to tell since the last lines. */
  lines(now = Date.now()): string[] {
    return [...this.#groups.values()].flatMap((group) => {
      const members = [...group.measures].flatMap(([name, measure]) => {
        const value = taken(measure);
        return value === 0 ? [] : [{ name, unit: measure.unit, value }];
      });
      return members.length === 0 ? [] : [lineOf(group, members, now)];
    });
  }

  #measure(service: string, api: string | undefined, name: string, unit: Unit): Measure {
    const key = `${service}.${api ?? ""}`;
    let group = this.#groups.get(key);
    if (!group) {
      const version = this.#version;
      const dimensions = {
        Service: service,
        ...(api !== undefined && { Api: api }),
        ...(version !== undefined && { Version: version }),
      };
      group = { dimensions, measures: new Map() };
      this.#groups.set(key, group);
    }
    let measure = group.measures.get(name);
    if (!measure) {
      measure = { unit, number: 0, level: 0, values: [], seen: 0 };
      group.measures.set(name, measure);
    }
    return measure;
  }
}

function taken(measure: Measure): number | number[] {
  const { number, values, level } = measure;
  measure.number = level;
  measure.seen = 0;
  return values.length > 0 ? values.splice(0) : number;
}

function lineOf(
  { dimensions }: Group,
  members: readonly { name: string; unit: Unit; value: number | number[] }[],
  now: number,
): string {
  return JSON.stringify({
    _aws: {
      Timestamp: now,
      CloudWatchMetrics: [
        {
          Namespace: "Tandem",
          Dimensions: [Object.keys(dimensions)],
          Metrics: members.map(({ name, unit }) => ({ Name: name, Unit: unit })),
        },
      ],
    },
    ...dimensions,
    ...Object.fromEntries(members.map(({ name, value }) => [name, value])),
  });
}
