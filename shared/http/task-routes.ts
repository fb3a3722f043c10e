import type { Hono, MiddlewareHandler } from "hono";
import { ServiceError } from "../errors/service-error.ts";
import type { Service } from "../service/contract.ts";
import type { ServiceTasks } from "../task/tasks.ts";
import { errorAnswer, type Refusals, wrongMethod } from "./answer.ts";
import type { Uploads } from "./uploads.ts";

/**
 * What may be asked about an api's tasks, and with which methods. BentoML's documents and its code disagree about those of
 * cancel and retry, so both are taken.
 */
export const TASK_ROUTES = {
  submit: ["POST"],
  status: ["GET"],
  get: ["GET"],
  cancel: ["PUT", "POST"],
  retry: ["POST", "PUT"],
  events: ["GET"],
};

/**
 * Adds every api's task routes. What answers them is loaded with the first: a function's start has no time for it. Without
 * tasks the routes say what is missing.
 */
export function addTaskRoutes(
  app: Hono,
  refusals: Refusals,
  service: Service,
  { tasks, uploads }: { tasks: ServiceTasks | undefined; uploads: Uploads | undefined },
  limit: MiddlewareHandler,
): void {
  for (const api of Object.keys(service.apis)) {
    for (const [name, methods] of Object.entries(TASK_ROUTES) as [keyof typeof TASK_ROUTES, string[]][]) {
      const path = `/${api}/${name}`;
      if (tasks)
        app.on(methods, path, limit, async (c) => {
          const { TASK_ANSWERS } = await import("./task-answers.ts");
          return TASK_ANSWERS[name](c, tasks, api, uploads);
        });
      refusals.set(path, (c) => (tasks ? wrongMethod(c, methods) : errorAnswer(noTasks(service))));
    }
  }
}

function noTasks({ name }: Service): ServiceError {
  return new ServiceError(
    "NOT_FOUND",
    `${name} takes no tasks here: it is served without a queue and an object store, which "tandem serve" brings`,
  );
}
