/** A service that a commented config-file.yaml is begun for. */
export interface Starting {
  name: string;
  /** Whether it asks for a GPU. */
  gpu: boolean;
}

/**
 * A commented config-file.yaml to start from. Everything that stands without `#` is in use; what is behind one shows how
 * to say more.
 * @param schema where the JSON Schema is, from the file's folder, for editors.
 */
export function initialConfigFile(name: string, services: readonly Starting[], schema: string): string {
  return `# yaml-language-server: $schema=${schema}
# Every field, with its default: docs/config.md. Check this file with: tandem config check
name: ${name}
# cluster: eu-central-1 # an AWS region; AWS's own settings when left out
# access_authorization: true # callers need a key

# envs: # for every service
#   - name: TANDEM_LOG_LEVEL
#     value: info
# secrets: # stored, not written here: hf-token reaches services as HF_TOKEN
#   - hf-token

services:
${services.map(serviceText).join("\n")}`;
}

function serviceText({ name, gpu }: Starting): string {
  return `  ${name}:
    instance_type: ${gpu ? "gpu.l4.1" : "cpu.1"}
    scaling:
      min_replicas: ${gpu ? 0 : 1} # 0: nothing runs, and nothing is paid for, until a call comes
      max_replicas: ${gpu ? 2 : 5}
    # envs: # these win over the global ones
    #   - name: TANDEM_LOG_LEVEL
    #     value: debug
    # deployment_strategy: RollingUpdate # or Recreate, RampedSlowRollout, BestEffortControlledRollout
    ${
      gpu
        ? `config_overrides:
      traffic:
        timeout: 600 # seconds
        external_queue: true # calls wait in SQS until a replica has room
        concurrency: 1 # calls that a replica takes at once
    #   resources:
    #     gpu: 1
    #     memory: 8Gi
`
        : `# config_overrides:
    #   traffic:
    #     timeout: 60 # seconds
    #     max_concurrency: 20 # more are refused with 429
    #   workers: 2 # processes a replica
`
    }`;
}

/** A name for a deployment, made from a folder's. */
export function deploymentName(folder: string): string {
  const name = folder
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 63)
    .replace(/-+$/, "");
  return name || "tandem";
}
