import { Command, type CommanderError, InvalidArgumentError } from "commander";
import { ServiceError } from "../errors/service-error.ts";
import { call } from "./call.ts";
import { serve } from "./serve.ts";

/** Exit codes: 0 done, 1 failed, 2 used wrongly. */
const FAILED = 1;
const USAGE = 2;

/** The `tandem` command. */
export const program = new Command("tandem")
  .description("Distributed ML services in TypeScript")
  .exitOverride((error: CommanderError) => process.exit(error.exitCode === 0 ? 0 : USAGE));

program
  .command("serve")
  .description("run every service of a project on this machine, each in its own processes")
  .argument("[project]", "folder with bentofile.yaml", ".")
  .option("-f, --file <config-file>", "config-file.yaml: its envs, timeouts, max_concurrency and workers are used")
  .option("--host <address>", "address that the entry listens on", "127.0.0.1")
  .option("--port <port>", "port of the entry, 0 for a free one", portNumber, 3000)
  .option(
    "--transport <kind>",
    "how services call each other: auto, local (one process) or http",
    transportKind,
    "auto",
  )
  .option("--workers <n>", "at most so many processes a service", wholeNumber)
  .option("--json", "print one JSON line when ready")
  .action(guarded(serve));

program
  .command("call")
  .description("call an api: of a server, or of the project in this process")
  .argument("<service.api>", "for example ControlNet.generate")
  .option("--project <folder>", "folder with bentofile.yaml", ".")
  .option("--image <file>", "the api's picture")
  .option("--param <name=value>", "an argument; value is JSON or text; may be repeated", gather, [])
  .option("-o, --output <file>", "where a picture or bytes go; the ending picks png, jpeg or webp")
  .option("--url <url>", "base URL of a running service")
  .option("--timeout <seconds>", "how long the call may take", seconds)
  .option("--json", "print a JSON line about the result")
  .action(guarded(call));

function guarded<A extends unknown[]>(action: (...args: A) => Promise<void>): (...args: A) => Promise<void> {
  return async (...args) => {
    try {
      await action(...args);
    } catch (error) {
      const detail = ServiceError.is(error) ? ` (${error.code})` : "";
      console.error(`tandem: ${(error as Error).message}${detail}`);
      process.exit(error instanceof InvalidArgumentError ? USAGE : FAILED);
    }
  };
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535)) throw new InvalidArgumentError("0 to 65535");
  return port;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1)) throw new InvalidArgumentError("a whole number from 1");
  return value;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("a number of seconds over 0");
  return value;
}

function transportKind(text: string): string {
  if (!["auto", "local", "http"].includes(text)) throw new InvalidArgumentError("auto, local or http");
  return text;
}

function gather(pair: string, before: string[]): string[] {
  if (!/^[^=]+=/.test(pair)) throw new InvalidArgumentError("name=value");
  return [...before, pair];
}
