import { Unreadable } from "./faults.ts";

const SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600 };

/**
 * Seconds: `700`, `0.5`, or a text with units such as `"90s"`, `"15m"`, `"1h30m"`, `"250ms"`.
 * @throws Unreadable for a text without a unit, another unit, and what is finer than a millisecond.
 */
export function parseDuration(value: number | string): number {
  const text = String(value);
  if (typeof value === "string" && !/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text))
    throw new Unreadable("must be seconds such as 90, or a text such as 90s, 15m or 1h30m", durationHint(text));
  const seconds =
    typeof value === "number"
      ? value
      : [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce(
          (sum, [, count, unit]) => sum + Number(count) * SECONDS[unit!]!,
          0,
        );
  const milliseconds = Math.round(seconds * 1000);
  if (Math.abs(seconds * 1000 - milliseconds) > 1e-6 * Math.max(1, milliseconds))
    throw new Unreadable("is finer than a millisecond", `write ${Math.max(1, milliseconds) / 1000}`);
  return milliseconds / 1000;
}

function durationHint(text: string): string | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return `write ${text} without quotes, or "${text}s"`;
  const [, count, unit] = /^(\d+(?:\.\d+)?)\s*([a-z])/i.exec(text) ?? [];
  const letter = unit?.toLowerCase();
  return letter && letter in SECONDS ? `did you mean "${count}${letter}"?` : undefined;
}
