import { Unreadable } from "./faults.ts";

const MEMORY_UNITS: Record<string, number> = {
  k: 1e3,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** Less than this is a unit that was forgotten: 1 byte where 1 GiB was meant. */
const LEAST_MEMORY = 2 ** 20;

/**
 * Cores: `2`, `"0.5"`, `"400m"` (thousandths).
 * @throws Unreadable for another unit, nothing at all, and less than a thousandth.
 */
export function parseCpu(value: number | string): number {
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(String(value));
  if (!match) throw new Unreadable("must be cores such as 2 or 0.5, or thousandths such as 400m", cpuHint(value));
  const [, digits, unit] = match;
  const thousandths = thousandthsOf(Number(digits), unit === "m" ? 1 : 1000);
  if (thousandths === undefined)
    throw new Unreadable("is finer than a thousandth of a core", "use whole m, as in 400m");
  if (thousandths === 0) throw new Unreadable("must be over 0 cores", "leave it out to take what the machine has");
  return thousandths / 1000;
}

/**
 * Bytes: `"1Gi"`, `"500MiB"`, `"2G"`; a number counts GiB, as BentoML has it.
 * @throws Unreadable for another unit, a part of a byte, and less than 1 MiB.
 */
export function parseMemory(value: number | string): number {
  const [, digits, unit = ""] =
    /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(typeof value === "number" ? `${value}Gi` : value) ?? [];
  const factor = unit === "" ? 1 : Object.hasOwn(MEMORY_UNITS, unit) ? MEMORY_UNITS[unit] : undefined;
  if (digits === undefined || factor === undefined)
    throw new Unreadable("must be memory such as 512Mi, 1Gi or 2G", memoryHint(String(value)));
  const bytes = Number(digits) * factor;
  if (!(Number.isInteger(bytes) && Number.isSafeInteger(bytes)))
    throw new Unreadable("is not a whole number of bytes", "use a smaller unit, as in 1536Mi for 1.5Gi");
  if (bytes < LEAST_MEMORY)
    throw new Unreadable(`is ${bytes} bytes, less than 1Mi`, `did you mean "${Number(digits) || 1}Gi"?`);
  return bytes;
}

/** `value` times `factor` when that is a whole number, but for what binary fractions lose. */
function thousandthsOf(value: number, factor: number): number | undefined {
  const product = value * factor;
  const whole = Math.round(product);
  return Math.abs(product - whole) < 1e-9 * Math.max(1, whole) ? whole : undefined;
}

function cpuHint(value: number | string): string | undefined {
  const digits = /^(\d+(?:\.\d+)?)\s*(.*)$/.exec(String(value));
  if (!digits) return undefined;
  return /^m/i.test(digits[2]!) ? `write "${digits[1]}m" for thousandths` : `write "${digits[1]}" for cores`;
}

function memoryHint(text: string): string | undefined {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*(\w+)$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const letter = unit![0]!.toUpperCase();
  return "KMGT".includes(letter) ? `did you mean "${digits}${letter}i"?` : undefined;
}
