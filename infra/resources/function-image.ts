/// <reference path="../../.sst/platform/config.d.ts" />
import { join } from "node:path";
import { Image } from "@pulumi/docker-build";
import type { GpuFunctionPlan } from "../plan/deployment-plan.ts";
import { logicalName } from "../plan/names.ts";
import { serviceTags } from "./service-tags.ts";

/** Images of earlier deployments that are kept, for a stack that goes back. */
const KEPT_IMAGES = 5;

/**
 * Builds a function's image and pushes it to a repository of its own, as SST does for containers: its own repository, and
 * what builds for it, are not for a project's code.
 * @param functionArn may pull it, and nothing else of Lambda's.
 * @returns the image by its digest, once Lambda may pull it.
 */
export function createFunctionImage(service: GpuFunctionPlan, functionArn: $util.Input<string>): $util.Output<string> {
  const {
    image,
    function: { physicalName },
  } = service;
  const id = logicalName(service);
  const repository = new aws.ecr.Repository(`${id}Images`, {
    name: physicalName,
    imageScanningConfiguration: { scanOnPush: true },
    encryptionConfigurations: [{ encryptionType: "AES256" }],
    // Images are made from the project at any time.
    forceDelete: true,
    tags: serviceTags(service),
  });
  const keeps = new aws.ecr.LifecyclePolicy(`${id}ImagesKept`, {
    repository: repository.name,
    policy: JSON.stringify({
      rules: [
        {
          rulePriority: 1,
          description: "Images of earlier deployments",
          selection: { tagStatus: "untagged", countType: "imageCountMoreThan", countNumber: KEPT_IMAGES },
          action: { type: "expire" },
        },
      ],
    }),
  });
  const pulls = new aws.ecr.RepositoryPolicy(`${id}ImagesPulled`, {
    repository: repository.name,
    policy: $jsonStringify({
      Version: "2012-10-17",
      Statement: [
        {
          Sid: "LambdaPulls",
          Effect: "Allow",
          Principal: { Service: "lambda.amazonaws.com" },
          Action: ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
          Condition: { StringLike: { "aws:sourceArn": functionArn } },
        },
      ],
    }),
  });
  const { root } = $cli.paths;
  const { repositoryUrl } = repository;
  const cache = { ref: $interpolate`${repositoryUrl}:cache` };
  const built = new Image(
    `${id}Image`,
    {
      ...(process.env.BUILDX_BUILDER && { builder: { name: process.env.BUILDX_BUILDER } }),
      context: { location: join(root, image.context) },
      dockerfile: { location: join(root, image.dockerfile) },
      buildArgs: { ...image.args },
      target: image.target,
      platforms: [image.platform],
      tags: [$interpolate`${repositoryUrl}:latest`],
      push: true,
      registries: [
        aws.ecr.getAuthorizationTokenOutput({ registryId: repository.registryId }).apply((token) => ({
          address: token.proxyEndpoint,
          username: token.userName,
          password: $util.secret(token.password),
        })),
      ],
      cacheFrom: [{ registry: cache }],
      cacheTo: [{ registry: { ...cache, imageManifest: true, ociMediaTypes: true, mode: "max" } }],
    },
    { dependsOn: [keeps] },
  );
  return $resolve([repositoryUrl, built.digest, pulls.id]).apply(([url, digest]) => `${url}@${digest}`);
}
