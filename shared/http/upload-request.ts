import * as z from "zod/mini";

/** The body of `POST /uploads`. */
export const UPLOAD_REQUEST = z.strictObject({
  bytes: z
    .optional(z.int().check(z.minimum(1)))
    .check(z.describe("How many bytes it has: no other number is taken then")),
  content_type: z
    .optional(
      z
        .string()
        .check(
          z.maxLength(255),
          z.regex(/^[\w.+-]+\/[\w.+-]+(?:; ?[\w.+-]+=[\w.+-]+)*$/, "must be a media type, as image/png"),
        ),
    )
    .check(z.describe("The PUT's Content-Type")),
});
