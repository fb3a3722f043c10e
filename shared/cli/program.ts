import { Command, type CommanderError, InvalidArgumentError } from "commander";
import { ServiceError } from "../errors/service-error.ts";
import { call } from "./call.ts";
import { checkConfig, initConfig } from "./config.ts";
import { listQueues, peekDeadLetters, purge, redrive } from "./queue.ts";
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
    "how services call each other: http, sqs (each through its queue), local (one process), or auto: http, but sqs where the config file says external_queue",
    transportKind,
    "auto",
  )
  .option("--workers <n>", "at most so many processes a service", wholeNumber)
  .option("--data <folder>", "where queued work and results are kept (default: .tandem in the project)")
  .option("--redeliver <fraction>", "share of queued messages delivered twice on purpose (default: 0.02)", fraction)
  .option("--visibility-timeout <seconds>", "after which a dead worker's call is another's (default: 30)", wholeNumber)
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
  .option("--token <key>", "the key that the service asks for (default: TANDEM_TOKEN, which no process list shows)")
  .option("--iam", "sign the call with AWS credentials, for a function URL that asks for IAM")
  .option("--timeout <seconds>", "how long the call may take", seconds)
  .option("--json", "print a JSON line about the result")
  .action(guarded(call));

const config = program.command("config").description("check a project's config files, or begin one");

config
  .command("check")
  .description("show every fault of bentofile.yaml and config-file.yaml; exit code 1 if there is one")
  .argument("[project]", "folder with bentofile.yaml", ".")
  .option("-f, --file <config-file>", "(default: config-file.yaml in the project)")
  .option("--json", "print JSON")
  .action(guarded(checkConfig));

config
  .command("init")
  .description("write a commented config-file.yaml for the project's services")
  .argument("[project]", "folder with bentofile.yaml", ".")
  .option("-f, --file <config-file>", "where (default: config-file.yaml in the project)")
  .option("--force", "replace a file that is there")
  .action(guarded(initConfig));

const queue = program.command("queue").description("look at queued work, and at what was given up");

function queueCommand(name: string, description: string): Command {
  return queue
    .command(name)
    .description(description)
    .argument("[service]", "only this service's")
    .option("--project <folder>", "folder with bentofile.yaml", ".")
    .option("--data <folder>", "the folder that serve was given (default: .tandem in the project)")
    .option("--json", "print JSON");
}

queueCommand("ls", "show how much waits, is in work and was given up").action(guarded(listQueues));
queueCommand("peek", "show the dead letters: calls that were given up").action(guarded(peekDeadLetters));
queueCommand("redrive", "send dead letters again").option("--id <id>", "only this one").action(guarded(redrive));
queueCommand("purge", "throw away what waits, and the dead letters")
  .option("--yes", "it is meant")
  .action(guarded(purge));

/** A command whose failure is told in a line: exit code 2 where it was used wrongly, else 1. */
export function guarded<A extends unknown[]>(action: (...args: A) => Promise<void>): (...args: A) => Promise<void> {
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

/** An option that is a whole number from 1. */
export function wholeNumber(text: string): number {
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
  if (!["auto", "local", "http", "sqs"].includes(text)) throw new InvalidArgumentError("auto, local, http or sqs");
  return text;
}

function fraction(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError("0 to 1");
  return value;
}

function gather(pair: string, before: string[]): string[] {
  if (!/^[^=]+=/.test(pair)) throw new InvalidArgumentError("name=value");
  return [...before, pair];
}
