/// <reference path="../../.sst/platform/config.d.ts" />
import type { GpuContainerPlan } from "../plan/deployment-plan.ts";
import { logicalName } from "../plan/names.ts";
import { createCluster } from "./cluster.ts";
import type { Deployment } from "./deployed.ts";
import { containerPort } from "./load-balancer.ts";
import { createScaling } from "./scaling.ts";
import { type ContainerDefinition, rollout, serviceArgs, taskDefinition } from "./task.ts";
import { INSTANCE_WEIGHTS } from "./user-data.ts";

/** MiB of /dev/shm: Docker's 64 are too few for what frameworks share between processes. */
const SHARED_MEMORY = 1024;
const WEIGHTS = "weights";

/**
 * A GPU service: SST's Service, which knows Fargate only, with its task and service turned to EC2 and onto the service's
 * own instances. SST still builds the image.
 */
export function createGpuService(service: GpuContainerPlan, deployment: Deployment): void {
  const { component, capacityProvider } = createCluster(service, deployment);
  const { triggers, ...args } = serviceArgs(service, deployment, component);
  const deployed = new sst.aws.Service(logicalName(service), {
    ...args,
    transform: {
      ...args.transform,
      taskDefinition: (task) => {
        ec2Task(service, task);
        return undefined;
      },
      service: (args, opts) => {
        rollout(service, deployment, args, opts, [component]);
        args.triggers = triggers;
        args.capacityProviderStrategies = [{ capacityProvider, weight: 1, base: 0 }];
        // Tasks share the instance's network: its security group is theirs.
        args.networkConfiguration = undefined;
        args.orderedPlacementStrategies = [
          { type: "spread", field: "attribute:ecs.availability-zone" },
          { type: "binpack", field: "memory" },
        ];
        return undefined;
      },
    },
  });
  const url = deployment.loadBalancer?.targets.get(service.name)?.url;
  if (url) deployment.urls.set(service.name, url);
  deployment.revisions.push(deployed.nodes.taskDefinition.apply(({ arn }) => arn));
  createScaling(service, deployment, deployed.nodes.autoScalingTarget);
}

function ec2Task(service: GpuContainerPlan, args: aws.ecs.TaskDefinitionArgs): void {
  const { task } = service;
  const { TANDEM_MODEL_DIR: folder } = service.environment;
  const keepsWeights = task.modelUrl !== undefined && folder !== undefined;
  args.requiresCompatibilities = ["EC2"];
  args.networkMode = task.networkMode;
  // The container's reservation counts: a task's size would be a limit.
  args.cpu = undefined;
  args.memory = undefined;
  args.ephemeralStorage = undefined;
  args.runtimePlatform = undefined;
  // Tasks that follow on the same instance find the weights there.
  args.volumes = keepsWeights ? [{ name: WEIGHTS, hostPath: INSTANCE_WEIGHTS }] : [];
  taskDefinition(service, args, (container) => ({
    ...container,
    cpu: task.cpu,
    memoryReservation: task.memory,
    ...(task.gpus > 0 && { resourceRequirements: [{ type: "GPU", value: String(task.gpus) }] }),
    portMappings: portMappings(service),
    mountPoints: keepsWeights ? [{ sourceVolume: WEIGHTS, containerPath: folder, readOnly: false }] : [],
    linuxParameters: { ...container.linuxParameters, sharedMemorySize: SHARED_MEMORY },
  }));
}

/** Behind the load balancer each replica gets a port of its own from Docker; on the host's network none is opened. */
function portMappings(service: GpuContainerPlan): ContainerDefinition[] {
  if (service.task.networkMode !== "bridge") return [];
  return [{ containerPort: containerPort(service), hostPort: 0, protocol: "tcp" }];
}
