import * as z from "zod";
import { bentofileVariables, environmentOf } from "./environment.ts";
import { field, required, unused } from "./field.ts";
import { anyMapping, flag, form, text, textOrTexts, texts, words } from "./values.ts";

const PYTHON = "ignored: no meaning in a TypeScript build";
const IMAGE = "the worker's image";
const object = <S extends z.core.$ZodLooseShape>(shape: S) => z.strictObject(shape, { error: "must be a mapping" });

const CUDA = /^(default|1[12](\.\d+){0,2})$/;

const python = object({
  requirements_txt: field(text(), { about: "File of packages for Python workers", here: "—", cloud: IMAGE }),
  packages: field(texts(), { about: "Packages for Python workers", here: "—", cloud: IMAGE }),
  lock_packages: unused(flag(), "Whether versions are locked", PYTHON),
  pack_git_packages: unused(flag(), "Whether packages from git are packed", PYTHON),
  index_url: unused(text(), "pip's index", PYTHON),
  no_index: unused(flag(), "Whether pip has none", PYTHON),
  trusted_host: unused(textOrTexts(), "Hosts that pip trusts", PYTHON),
  find_links: unused(textOrTexts(), "Where pip finds packages", PYTHON),
  extra_index_url: unused(textOrTexts(), "pip's further indexes", PYTHON),
  pip_args: unused(text(), "pip's arguments", PYTHON),
  wheels: unused(texts(), "Wheels that are packed", PYTHON),
  is_src_layout: unused(flag(), "Whether the code is in src", PYTHON),
});

const conda = object({
  environment_yml: unused(text(), "conda's file", PYTHON),
  channels: unused(texts(), "conda's channels", PYTHON),
  dependencies: unused(texts(), "conda's packages", PYTHON),
  pip: unused(texts(), "pip's packages in conda", PYTHON),
});

const docker = object({
  distro: unused(words(["debian", "alpine", "ubi8", "amazonlinux"]), "Distribution", PYTHON),
  python_version: unused(
    form(/^3\.(9|1[0-4])(\.\d+)?$/, "must be a Python version from 3.9 to 3.14, in quotes"),
    "Version of Python",
    PYTHON,
  ),
  cuda_version: field(form(CUDA, 'must be a CUDA version such as "12.8.1", or default'), {
    about: "Version of CUDA",
    here: "—",
    cloud: IMAGE,
  }),
  env: field(
    z.union(
      [
        text(),
        z.array(z.union([text(), z.record(z.string(), z.string())], { error: "must be NAME=value" })),
        z.record(z.string(), z.union([z.string(), z.number()], { error: "must be a text or a number" })),
      ],
      { error: "must be a mapping, a list of NAME=value, or the path of an .env file" },
    ),
    { about: "Variables of the image: a mapping, a list, or a file", here: "—", cloud: IMAGE },
  ),
  system_packages: field(texts(), { about: "Debian packages", here: "—", cloud: IMAGE }),
  setup_script: unused(text(), "A script for the image's build", "ignored: bring a base_image that has run it"),
  base_image: field(text(), { about: "Image to start from", here: "—", cloud: IMAGE }),
  dockerfile_template: unused(text(), "A template of the Dockerfile", "ignored: bring a base_image"),
});

const model = z.union(
  [
    text(),
    z.strictObject({
      tag: required(text(), { about: "The model's name and version", here: "—", cloud: "—" }),
      filter: unused(text(), "Which of its files", PYTHON),
      alias: unused(text(), "Another name", PYTHON),
    }),
  ],
  { error: "must be a tag, or a mapping with tag" },
);

/** bentofile.yaml: what a project is. */
export const bentofile = z.strictObject(
  {
    service: required(form(/^[\w./-]+:\w+$/, 'must be "module:Name", for example "service:ControlNet"'), {
      about: "The module and the entry service that it exports",
      here: "used",
      cloud: "the entry",
    }),
    name: field(text(), { about: "Name of the project", default: "the entry's", here: "—", cloud: "names" }),
    description: field(z.string({ error: "must be a text" }), {
      about: 'For people; "file: ./README.md" reads a file',
      here: "—",
      cloud: "description",
    }),
    labels: field(
      z.record(z.string(), z.string({ error: "must be a text or a number" }), {
        error: "must be a mapping, such as owner: me",
      }),
      {
        about: "Labels of the project",
        here: "—",
        cloud: "tags",
        editor: { additionalProperties: { type: ["string", "number"] } },
      },
    ),
    include: field(texts(), {
      about: "Files that belong to it, as .gitignore writes them",
      default: "all",
      here: "—",
      cloud: "the image's files",
    }),
    exclude: field(texts(), {
      about: "Files that do not, after include",
      default: "none",
      here: "—",
      cloud: "the image's files",
    }),
    args: unused(anyMapping(), "Arguments of templates", "ignored: modules take arguments from envs"),
    models: unused(
      z.array(model, { error: "must be a list of models" }),
      "Models of BentoML's store",
      "ignored: there is no model store; set TANDEM_MODEL_DIR in envs",
    ),
    envs: field(bentofileVariables, { about: "Variables of every service", here: "used", cloud: "environment" }),
    python: field(python, { about: "Packages of Python", here: "—", cloud: IMAGE }),
    conda: unused(conda, "Packages of conda", PYTHON),
    docker: field(docker, { about: "The image", here: "—", cloud: IMAGE }),
  },
  { error: 'must be a mapping, such as service: "service:ControlNet"' },
);

/** What bentofile.yaml says. */
export type Bentofile = z.output<typeof bentofile>;

/** Variables that it gives running services; one without a value is left to the environment, or to config-file.yaml. */
export function runtimeVariables({ envs = [] }: Bentofile): Record<string, string> {
  return environmentOf(
    envs.flatMap(({ name, value = "", stage }) => (value === "" || stage === "build" ? [] : [{ name, value }])),
  );
}
