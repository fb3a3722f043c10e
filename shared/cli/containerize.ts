import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { delimiter, join, relative, resolve } from "node:path";
import { InvalidArgumentError } from "commander";
import { loadProject } from "../serve/project.ts";
import { type WorkerImage, workerImage } from "../serve/worker-image.ts";
import type { Service } from "../service/contract.ts";

export interface ContainerizeCommand {
  project: string;
  tag?: string;
  cpu?: boolean;
  bakeModel?: string;
  json?: boolean;
}

const BUILDERS = ["docker", "podman", "buildah"] as const;

/** `tandem containerize`: builds a service's image with the builder that this machine has. */
export async function containerize(name: string | undefined, options: ContainerizeCommand): Promise<void> {
  const { folder, services } = await loadProject(options.project);
  const service = chosen(services, name);
  const cpu = options.cpu ?? !service.resources.gpu;
  const bakeModel = options.bakeModel === undefined ? undefined : modelFolder(folder, options.bakeModel);
  const tag = options.tag ?? service.name.toLowerCase();
  const image = workerImage({ service: service.name, cpu, bakeModel });
  for (const file of [image.dockerfile, image.ignoreFile])
    if (!existsSync(join(folder, file)))
      throw new Error(`${join(folder, file)} is missing: it says how images are built`);
  const builder = BUILDERS.find(isOnPath);
  if (!builder) throw new Error(`none of ${BUILDERS.join(", ")} is on the PATH: install one of them to build images`);
  const args = buildArguments(builder, image, tag);
  console.error(`${builder} ${args.join(" ")}`);
  const child = spawn(builder, args, {
    cwd: folder,
    stdio: ["ignore", options.json ? 2 : "inherit", "inherit"],
    // Docker's older builder knows no ignore file beside a Dockerfile.
    env: { ...process.env, DOCKER_BUILDKIT: "1" },
  });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`${builder} could not build ${tag}: exit code ${code}`);
  if (options.json) console.log(JSON.stringify({ image: tag, service: service.name, builder, cpu }));
  else console.log(`${tag} is built; try it: ${builder} run --rm${cpu ? "" : " --gpus all"} -p 3000:3000 ${tag}`);
}

/** The service named, else the project's one GPU service. */
function chosen(services: readonly Service[], name: string | undefined): Service {
  const names = services.map((service) => service.name).join(", ");
  const found = services.filter((service) => (name === undefined ? service.resources.gpu : service.name === name));
  if (found.length === 1) return found[0]!;
  if (name !== undefined) throw new InvalidArgumentError(`no service ${name}; there are ${names}`);
  throw new InvalidArgumentError(`name the service: ${found.length} of ${names} want a GPU`);
}

function modelFolder(project: string, folder: string): string {
  const path = resolve(folder);
  const inside = relative(project, path);
  if (!existsSync(path) || !statSync(path).isDirectory())
    throw new InvalidArgumentError(`${path} is no folder: --bake-model takes a model's`);
  if (inside === "" || inside.startsWith(".."))
    throw new InvalidArgumentError(`${path} is outside of ${project}: builders read only what is in the project`);
  return inside;
}

function buildArguments(builder: string, image: WorkerImage, tag: string): string[] {
  return [
    "build",
    "--file",
    image.dockerfile,
    // Images of the other two would have no health check in their own format.
    ...(builder === "docker" ? [] : ["--ignorefile", image.ignoreFile, "--format", "docker"]),
    ...(image.target === undefined ? [] : ["--target", image.target]),
    ...Object.entries(image.buildArgs).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]),
    "--tag",
    tag,
    ".",
  ];
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)));
}
