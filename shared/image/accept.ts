import type { ImageFormat } from "../codec/image.ts";

/**
 * The format to answer with, by an `Accept` header (RFC 9110, 12.5.1): the highest quality value wins, each format's
 * taken from the most specific range that names it; equals go by the order of `offered`. A header that is missing or
 * empty accepts everything; one that accepts none of `offered` gives undefined. Parts that cannot be read are skipped.
 */
export function preferredImageFormat(
  accept: string | undefined,
  offered: readonly ImageFormat[] = ["png", "webp", "jpeg"],
): ImageFormat | undefined {
  if (!accept?.trim()) return offered[0];
  const ranges = new Map<string, number>();
  for (const part of accept.split(",")) {
    const [name = "", ...parameters] = part.split(";").map((piece) => piece.trim().toLowerCase());
    const weight = parameters.find((parameter) => /^q\s*=/.test(parameter))?.replace(/^q\s*=\s*/, "") ?? "1";
    if (name && /^(0(\.\d*)?|1(\.0*)?)$/.test(weight))
      ranges.set(name, Math.max(Number(weight), ranges.get(name) ?? 0));
  }
  let best: ImageFormat | undefined;
  let bestWeight = 0;
  for (const format of offered) {
    // `image/jpg` is no registered type, yet clients send it.
    const own = ranges.get(`image/${format}`) ?? (format === "jpeg" ? ranges.get("image/jpg") : undefined);
    const weight = own ?? ranges.get("image/*") ?? ranges.get("*/*") ?? 0;
    if (weight > bestWeight) {
      best = format;
      bestWeight = weight;
    }
  }
  return best;
}
