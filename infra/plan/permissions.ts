import type { EdgePlan, Permission } from "./deployment-plan.ts";

type Target = Permission["on"];

/**
 * What each side of a call touches, from the code that touches it. An object that is looked for and is not there is
 * "forbidden" to whom may not list the bucket, so everybody who looks may list that prefix.
 */
const READ = ["s3:GetObject"];
const WRITE = ["s3:PutObject"];
const DELETE = ["s3:DeleteObject"];

/** A caller over SQS (`SqsTransport`): sends, looks for the result, cancels, knows how long the queue is. */
export function queueCaller(service: string): Permission[] {
  return [
    ...onLanes(service, ["sqs:SendMessage", "sqs:GetQueueAttributes"]),
    // Input, key, cancel; a key that runs again forgets the result before.
    ...store(service, "calls/", [...READ, ...WRITE, ...DELETE]),
    ...watcher(service),
  ];
}

/** `QueueWatch`: reports of workers, those of workers long gone deleted on the way, and what starts took. */
function watcher(service: string): Permission[] {
  return [...store(service, "workers/", [...READ, ...DELETE]), ...store(service, "start-times", READ)];
}

/** Who takes calls off a service's queue and runs them (`Consumer`, `CallRunner`). */
function runner(service: string): Permission[] {
  return [
    ...onLanes(service, [
      "sqs:ReceiveMessage",
      "sqs:DeleteMessage",
      "sqs:ChangeMessageVisibility",
      "sqs:GetQueueAttributes",
    ]),
    ...store(service, "calls/", [...READ, ...WRITE, ...DELETE]),
  ];
}

/** A container that works off its queue: it reports, and is not stopped while it works. */
export function queueWorker(service: string): Permission[] {
  return [
    ...runner(service),
    { actions: [...WRITE, ...DELETE], on: { kind: "store", service, prefix: "workers/" } },
    ...store(service, "start-times", [...READ, ...WRITE]),
    { actions: ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"], on: { kind: "task-protection", service } },
  ];
}

/** A function whose event source is the service's queue. Tasks, which the entry alone has, may have callback URLs. */
export function queueFunction(service: string, isEntry: boolean): Permission[] {
  if (!isEntry) return runner(service);
  return [
    ...runner(service),
    { actions: ["sqs:SendMessage"], on: { kind: "queue", service } },
    ...store(service, "tasks/", READ),
    ...store(service, "callbacks/", [...READ, ...WRITE]),
  ];
}

/** A function with a GPU: its queue is its event source. */
export function gpuFunction(service: string): Permission[] {
  return runner(service);
}

/** The entry's HTTP face: tasks, keyed calls through its own queue, uploads, large answers. */
export function entryFace(service: string): Permission[] {
  return [
    ...queueCaller(service),
    ...store(service, "tasks/", [...READ, ...WRITE]),
    ...store(service, "uploads/", [...READ, ...WRITE]),
    // Whoever holds a presigned URL has what its signer may.
    { actions: [...READ, ...WRITE], on: { kind: "store", service, prefix: "answers/" } },
  ];
}

/** A function's side of an `Invoke` that is too large for its payload. */
export function invoked(service: string): Permission[] {
  return store(service, "calls/", [...READ, ...WRITE]);
}

/** A caller by `Invoke`, with its side of a claim check. */
function invoker(service: string): Permission[] {
  return [
    { actions: ["lambda:InvokeFunction"], on: { kind: "function", service } },
    ...store(service, "calls/", [...READ, ...WRITE]),
  ];
}

/** The dead-letter function: answers callers, keeps letters, sends again what may have died of another call. */
export function deadLetterFunction(service: string): Permission[] {
  return merged([
    {
      actions: ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
      on: { kind: "dead-letter-queue", service },
    },
    { actions: ["sqs:SendMessage"], on: { kind: "queue", service } },
    ...store(service, "calls/", [...READ, ...WRITE]),
    { actions: [...WRITE, ...DELETE], on: { kind: "store", service, prefix: "dead-letters/" } },
  ]);
}

/** Weights of a model. */
export function weights(url: string): Permission[] {
  return [{ actions: [...READ, "s3:ListBucket"], on: { kind: "s3", url } }];
}

/** What calling its dependencies needs. HTTP needs a way through the network, and nothing of IAM. */
export function callerOf(edges: readonly EdgePlan[]): Permission[] {
  return edges.flatMap(({ callee, transport }) => {
    if (transport === "sqs") return queueCaller(callee);
    return transport === "lambda" ? invoker(callee) : [];
  });
}

/** The entry's function where calls are split: invokes versions, and looks which were taken off (`CanaryRouter`). */
export function canaryRouter(labels: readonly string[]): Permission[] {
  return [
    ...labels.map((label): Permission => ({ actions: ["lambda:InvokeFunction"], on: { kind: "version", label } })),
    ...store("tandem", "canary-off/", READ),
  ];
}

/** The function that takes calls off a version. */
export function canaryRollback(): Permission[] {
  return [{ actions: WRITE, on: { kind: "store", service: "tandem", prefix: "canary-off/" } }];
}

/** The same with each target once, its actions together. */
export function merged(permissions: readonly Permission[]): Permission[] {
  const byTarget = new Map<string, { on: Target; actions: Set<string> }>();
  for (const { on, actions } of permissions) {
    const key = JSON.stringify(on);
    const known = byTarget.get(key) ?? { on, actions: new Set() };
    for (const action of actions) known.actions.add(action);
    byTarget.set(key, known);
  }
  return [...byTarget.values()].map(({ on, actions }) => ({ actions: [...actions].sort(), on }));
}

function onLanes(service: string, actions: string[]): Permission[] {
  return [
    { actions, on: { kind: "queue", service } },
    { actions, on: { kind: "priority-queue", service } },
  ];
}

function store(service: string, prefix: string, actions: string[]): Permission[] {
  return [
    { actions, on: { kind: "store", service, prefix } },
    { actions: ["s3:ListBucket"], on: { kind: "store-list", service, prefix } },
  ];
}
