import { DescribeServicesCommand, type ECSClient } from "@aws-sdk/client-ecs";
import { GetFunctionConfigurationCommand, type LambdaClient } from "@aws-sdk/client-lambda";
import { GetQueueAttributesCommand, GetQueueUrlCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { DeploymentPlan, QueuePlan, ServicePlan } from "../plan/deployment-plan.ts";
import { functionsOf } from "../plan/functions-of.ts";
import type { KnownDeployment } from "./registry.ts";
import type { VersionStatus } from "./version-status.ts";

/** What is deployed, and how it is now. */
export interface DeploymentStatus {
  readonly deployment: KnownDeployment;
  readonly plan: DeploymentPlan;
  /** The main version's, then those that canary versions have of their own. */
  readonly services: readonly ServiceStatus[];
  /** Canary versions, where the plan has any. */
  readonly versions: readonly VersionStatus[];
}

export interface ServiceStatus {
  readonly name: string;
  /** Label of the canary version whose it is; undefined: the main one's. */
  readonly version?: string | undefined;
  /** `running`, `updating`, `scaled to zero`, `starting`, `failed`, or `missing`. */
  readonly state: string;
  /** Why, where AWS says so. */
  readonly reason?: string | undefined;
  /** Tasks of a container; undefined for a function. */
  readonly replicas?: { readonly running: number; readonly desired: number } | undefined;
  readonly queue?: QueueStatus | undefined;
}

/** Messages, both lanes together. */
export interface QueueStatus {
  readonly waiting: number;
  readonly inWork: number;
  readonly givenUp: number;
}

interface Clients {
  readonly ecs: ECSClient;
  readonly lambda: LambdaClient;
  readonly sqs: SQSClient;
}

const DEADLINE_MS = 30_000;
const deadline = () => ({ abortSignal: AbortSignal.timeout(DEADLINE_MS) });

/** Asks AWS about one service of a plan. */
export async function serviceStatus(service: ServicePlan, clients: Clients): Promise<ServiceStatus> {
  const own = "task" in service ? containerStatus(service, clients) : functionStatus(service, clients);
  const [state, queue] = await Promise.all([own, service.queue && queueStatus(service.queue, clients.sqs)]);
  const { name, version } = service;
  return { name, ...(version !== undefined && { version }), ...state, queue };
}

type OwnState = Pick<ServiceStatus, "state" | "reason" | "replicas">;

async function containerStatus({ task }: Extract<ServicePlan, { task: unknown }>, { ecs }: Clients): Promise<OwnState> {
  const command = new DescribeServicesCommand({ cluster: task.physicalName, services: [task.physicalName] });
  const found = await ecs.send(command, deadline()).catch(missing("ClusterNotFoundException"));
  const [service] = found?.services ?? [];
  if (!service || service.status === "INACTIVE") return { state: "missing" };
  const { runningCount: running = 0, desiredCount: desired = 0 } = service;
  const rollout = service.deployments?.find(({ status }) => status === "PRIMARY");
  const state = (): string => {
    if (rollout?.rolloutState === "FAILED") return "failed";
    if ((service.deployments?.length ?? 0) > 1) return "updating";
    if (desired === 0) return "scaled to zero";
    return running >= desired ? "running" : "starting";
  };
  return { state: state(), reason: rollout?.rolloutStateReason, replicas: { running, desired } };
}

async function functionStatus(
  service: Extract<ServicePlan, { function: unknown }>,
  { lambda }: Clients,
): Promise<OwnState> {
  const { physicalName } = service.kind === "function" ? functionsOf(service)[0]! : service.function;
  const command = new GetFunctionConfigurationCommand({ FunctionName: physicalName });
  const found = await lambda.send(command, deadline()).catch(missing("ResourceNotFoundException"));
  if (!found) return { state: "missing" };
  const { State, StateReason, LastUpdateStatus, LastUpdateStatusReason } = found;
  const failed = State === "Failed" || LastUpdateStatus === "Failed";
  if (failed) return { state: "failed", reason: LastUpdateStatusReason ?? StateReason };
  return { state: LastUpdateStatus === "InProgress" || State === "Pending" ? "updating" : "running" };
}

async function queueStatus(queue: QueuePlan, sqs: SQSClient): Promise<QueueStatus | undefined> {
  const counts = async (name: string): Promise<[waiting: number, inWork: number]> => {
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: name }), deadline());
    const AttributeNames = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"] as const;
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...AttributeNames] });
    const { Attributes = {} } = await sqs.send(command, deadline());
    return [Number(Attributes[AttributeNames[0]] ?? 0), Number(Attributes[AttributeNames[1]] ?? 0)];
  };
  const names = [queue.physicalName, queue.priorityPhysicalName, queue.deadLetterPhysicalName];
  const all = await Promise.all(names.map(counts)).catch(missing("QueueDoesNotExist"));
  if (!all) return undefined;
  const [normal, priority, dead] = all as [[number, number], [number, number], [number, number]];
  return { waiting: normal[0] + priority[0], inWork: normal[1] + priority[1], givenUp: dead[0] + dead[1] };
}

/** Undefined for AWS's error of that name, which says that there is no such thing. */
function missing(name: string): (error: unknown) => undefined {
  return (error) => {
    const said = (error as Error).name;
    // SQS's older protocol puts its own prefix before it.
    if (said === name || said.endsWith(`.${name}`)) return undefined;
    throw error;
  };
}
