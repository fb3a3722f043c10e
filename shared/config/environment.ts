import * as z from "zod";
import { field, required } from "./field.ts";
import { form, text, words } from "./values.ts";

const LAMBDA_OWN =
  /^(AWS_LAMBDA_.*|AWS_(DEFAULT_)?REGION|AWS_EXECUTION_ENV|AWS_ACCESS_KEY(_ID)?|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|LAMBDA_(TASK_ROOT|RUNTIME_DIR)|_HANDLER|_X_AMZN_TRACE_ID)$/;

function variableName() {
  const error = "must be the name of an environment variable: letters, digits and _, a letter first";
  return form(/^[A-Za-z_][A-Za-z0-9_]*$/, error).refine((name) => !LAMBDA_OWN.test(name), {
    error: "is a name that AWS Lambda sets itself",
    params: { hint: "pick another name" },
  });
}

const value = z.string({ error: "must be a text or a number" });
// The reader has made texts of numbers before the schema sees them.
const editor = { type: ["string", "number"] };

/** One environment variable; a number is taken as it was written. */
export const variable = z.strictObject(
  {
    name: required(variableName(), { about: "Name of the variable", here: "used", cloud: "environment" }),
    value: required(value, {
      about: "Its value; a number may stand without quotes",
      here: "used",
      cloud: "environment",
      editor,
    }),
  },
  { error: "must be a mapping with name and value" },
);

/** The list form of config-file.yaml: `- name: A`, `value: b`. */
export const variables = z.array(variable, { error: "must be a list of name and value" });

/** What bentofile.yaml has: a value may be missing, and then must be given when deploying. */
export const bentofileVariables = z.array(
  z.strictObject(
    {
      name: required(variableName(), { about: "Name of the variable", here: "used", cloud: "environment" }),
      value: field(value, {
        about: "Its value; where none is given, config-file.yaml must give one",
        default: '""',
        here: "used",
        cloud: "environment",
        editor,
      }),
      stage: field(words(["all", "build", "runtime"]), {
        about: "When it is set: while the image is built, while services run, or both",
        default: "all",
        here: "used (all, runtime)",
        cloud: "environment of the build, the services or both",
      }),
    },
    { error: "must be a mapping with name and value" },
  ),
  { error: "must be a list of name and value" },
);

/** The list form of labels. */
export const labels = z.array(
  z.strictObject(
    {
      key: required(text(), { about: "Name of the label", here: "—", cloud: "name of the tag" }),
      value: required(value, { about: "Its value", here: "—", cloud: "value of the tag", editor }),
    },
    { error: "must be a mapping with key and value" },
  ),
  { error: "must be a list of key and value" },
);

/** Names of stored secrets. */
export const secrets = z.array(
  form(/^[A-Za-z][A-Za-z0-9_-]*$/, "must be the name of a secret: letters, digits, - and _, a letter first"),
  { error: "must be a list of names" },
);

/** The environment variable that a secret is given to services as: `hf-token` is `HF_TOKEN`. */
export function secretVariable(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}

/** A list of variables as an environment. */
export function environmentOf(list: readonly { name: string; value: string }[] = []): Record<string, string> {
  return Object.fromEntries(list.map(({ name, value }) => [name, value]));
}
