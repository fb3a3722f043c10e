import * as z from "zod";
import { noteOf } from "./field.ts";

/** JSON Schema of a file, for editors: hover texts from the notes, and `x-` keys where the file may have them. */
export function jsonSchemaOf(schema: z.ZodType, title: string, options: { extensions?: boolean } = {}): object {
  const json = z.toJSONSchema(schema, {
    io: "input",
    target: "draft-7",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const note = noteOf(zodSchema);
      if (note) {
        const rest = [
          note.default && note.default !== "required" && `Default: ${note.default}.`,
          note.warning && `${capital(note.warning)}.`,
        ];
        jsonSchema.description = [`${note.about}.`, ...rest].filter(Boolean).join(" ");
        Object.assign(jsonSchema, note.editor);
      }
      // `undefined` alone: a field that must not be there.
      if (zodSchema instanceof z.ZodUndefined) jsonSchema.not = {};
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  return { title, ...json, ...(options.extensions && { patternProperties: { "^x-": {} } }) };
}

function capital(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
