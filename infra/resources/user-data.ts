import { ECS_RESERVED_MEMORY } from "../catalogue/named-types.ts";

/** The folder on an instance that its tasks see as the folder of weights. */
export const INSTANCE_WEIGHTS = "/var/lib/tandem/weights";

export interface UserData {
  readonly cluster: string;
  /** Seconds between SIGTERM and SIGKILL. */
  readonly stopTimeout: number;
  /** Whether weights go to the instance's own NVMe disk, where it has one. */
  readonly instanceStorage: boolean;
  /** Whether the AMI has the container's image in it already. */
  readonly baked: boolean;
  readonly warmPool: boolean;
}

/**
 * What an instance of ECS's GPU image runs when it first boots, as root, before ECS's agent starts: the agent's settings
 * (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html), the folder of weights, and a unit
 * that runs before the agent at every boot.
 *
 * The unit keeps containers on the host's network from the instance's own credentials: their users are not root, and they
 * get their task's by another address. It mounts the instance's disk for weights, which is blank whenever an instance of a
 * warm pool is started again; without such a disk, or should it fail, weights are on the root volume.
 */
export function userData({ cluster, stopTimeout, instanceStorage, baked, warmPool }: UserData): string {
  const settings = {
    ECS_CLUSTER: cluster,
    ECS_ENABLE_GPU_SUPPORT: "true",
    ECS_RESERVED_MEMORY: `${ECS_RESERVED_MEMORY}`,
    ECS_ENABLE_TASK_IAM_ROLE: "true",
    ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST: "true",
    ECS_ENABLE_SPOT_INSTANCE_DRAINING: "true",
    ECS_CONTAINER_STOP_TIMEOUT: `${stopTimeout}s`,
    ECS_AVAILABLE_LOGGING_DRIVERS: '["json-file","awslogs"]',
    ...(baked && { ECS_IMAGE_PULL_BEHAVIOR: "prefer-cached" }),
    ...(warmPool && { ECS_WARM_POOLS_CHECK: "true" }),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  return `#!/bin/bash
set -euo pipefail
cat >> /etc/ecs/ecs.config <<'SETTINGS'
${lines.join("\n")}
SETTINGS
# Containers run as users of their own; the sticky bit keeps them from each other's files.
install -d -m 1777 ${INSTANCE_WEIGHTS}
${instanceStorage ? INSTANCE_DISK : ""}cat > /etc/systemd/system/tandem-boot.service <<'UNIT'
[Unit]
Description=Tandem: before the ECS agent, at every boot
Before=docker.service ecs.service
[Service]
Type=oneshot
RemainAfterExit=yes
${instanceStorage ? "ExecStart=-/usr/local/sbin/tandem-instance-disk\n" : ""}ExecStart=${NO_INSTANCE_CREDENTIALS}
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable tandem-boot.service
systemctl start tandem-boot.service
`;
}

const NO_INSTANCE_CREDENTIALS = "/usr/sbin/iptables -w -I OUTPUT -d 169.254.169.254 -m owner ! --uid-owner 0 -j REJECT";

const INSTANCE_DISK = `cat > /usr/local/sbin/tandem-instance-disk <<'SCRIPT'
#!/bin/bash
set -euo pipefail
if mountpoint -q ${INSTANCE_WEIGHTS}; then exit 0; fi
disk="$(lsblk --nodeps --noheadings --paths --output NAME,MODEL | awk '/Amazon EC2 NVMe Instance Storage/ { print $1; exit }')"
if [ -z "$disk" ]; then echo "no disk of the instance's own: weights are on the root volume"; exit 0; fi
if ! blkid "$disk" > /dev/null; then mkfs.xfs -q -K "$disk"; fi
mount -o noatime,nodev,nosuid "$disk" ${INSTANCE_WEIGHTS}
chmod 1777 ${INSTANCE_WEIGHTS}
SCRIPT
chmod 755 /usr/local/sbin/tandem-instance-disk
`;
