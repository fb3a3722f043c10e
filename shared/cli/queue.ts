import { InvalidArgumentError } from "commander";
import { loadProject } from "../serve/project.ts";
import { withQueues } from "../serve/queue-access.ts";
import { QueueAdmin } from "../serve/queue-admin.ts";
import type { Service } from "../service/contract.ts";
import { table } from "./table.ts";

export interface QueueCommand {
  project: string;
  file?: string;
  data?: string;
  json?: boolean;
}

/** `tandem queue ls`: how much waits for each service. */
export async function listQueues(service: string | undefined, options: QueueCommand): Promise<void> {
  const states = await each(service, options, (admin) => admin.state());
  const heading = ["service", "waiting", "in work", "waiting first", "in work first", "dead letters"];
  const rows = states.map(({ service, normal, priority, deadLetters }) => [
    service,
    normal.visible + normal.delayed,
    normal.inFlight,
    priority.visible + priority.delayed,
    priority.inFlight,
    deadLetters,
  ]);
  print(options, states, () => table(heading, rows));
}

/** `tandem queue peek`: the dead letters, without what was in them. */
export async function peekDeadLetters(service: string | undefined, options: QueueCommand): Promise<void> {
  const letters = (await each(service, options, (admin) => admin.deadLetters())).flat();
  const shown = letters.map((letter) => ({
    ...letter,
    sentAt: new Date(letter.sentAt).toISOString(),
    diedAt: new Date(letter.diedAt).toISOString(),
  }));
  const rows = shown.map(({ service, api, id, receiveCount, sentAt, diedAt, reason }) => [
    `${service}.${api ?? "?"}`,
    id,
    receiveCount,
    sentAt,
    diedAt,
    reason,
  ]);
  const heading = ["api", "id", "received", "sent", "given up", "why"];
  print(options, shown, () => (rows.length === 0 ? "no dead letters" : table(heading, rows)));
}

/** `tandem queue redrive`: sends dead letters again. */
export async function redrive(service: string | undefined, options: QueueCommand & { id?: string }): Promise<void> {
  const results = await each(service, options, (admin) => admin.redrive(options.id));
  const sent = results.flatMap((result) => result.sent);
  const dropped = results.flatMap((result) => result.dropped);
  if (options.id !== undefined && sent.length + dropped.length === 0)
    throw new Error(`no dead letter ${options.id} that can be sent again`);
  const rest = dropped.length === 0 ? "" : `; ${dropped.length} not, whose calls are over`;
  print(options, { sent, dropped }, () => `${sent.length} sent again${rest}`);
}

/** `tandem queue purge`: throws away what waits, and the dead letters. */
export async function purge(service: string | undefined, options: QueueCommand & { yes?: boolean }): Promise<void> {
  if (!options.yes) throw new InvalidArgumentError("purge throws queued work away: say so with --yes");
  const purged = (await each(service, options, (admin) => admin.purge())).reduce((sum, count) => sum + count, 0);
  print(options, { purged }, () => `${purged} thrown away`);
}

async function each<T>(
  name: string | undefined,
  { project: folder, file, data }: QueueCommand,
  act: (admin: QueueAdmin) => Promise<T>,
): Promise<T[]> {
  const project = await loadProject(folder, file);
  const services: Service[] = project.deployables.map(({ service }) => service);
  const names = services.map((service) => service.name);
  const chosen = services.filter((service) => name === undefined || service.name === name);
  if (chosen.length === 0) throw new InvalidArgumentError(`no service ${name}; there are ${names.join(", ")}`);
  return withQueues({ projectFolder: project.folder, services: names, data }, async (places) => {
    const results: T[] = [];
    for (const service of chosen) {
      if (!(service.name in places.services)) continue;
      const admin = await QueueAdmin.open(service, places);
      results.push(await act(admin));
      await admin.close();
    }
    return results;
  });
}

function print({ json }: QueueCommand, value: unknown, text: () => string): void {
  console.log(json ? JSON.stringify(value) : text());
}
