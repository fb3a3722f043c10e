import { describe, expect, it } from "vitest";
import { forWorkers } from "#shared/serve/emulator-credentials.ts";

const nothing = { AWS_SHARED_CREDENTIALS_FILE: "/nowhere", AWS_CONFIG_FILE: "/nowhere" };
const endpoint = "http://127.0.0.1:1";

describe("a worker's environment beside the embedded queue", () => {
  it("gets a region and credentials, which the SDK wants, where there are none", () => {
    expect(forWorkers(endpoint, nothing)).toEqual({
      AWS_ENDPOINT_URL_SQS: endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "tandem",
      AWS_SECRET_ACCESS_KEY: "tandem",
    });
  });

  it.each([
    { AWS_ACCESS_KEY_ID: "mine" },
    { AWS_PROFILE: "work" },
    { AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://169.254.170.2" },
    { AWS_SHARED_CREDENTIALS_FILE: import.meta.filename },
    { AWS_CONFIG_FILE: import.meta.filename },
  ])("leaves the user's own credentials alone: %o", (own) => {
    expect(forWorkers(endpoint, { ...nothing, AWS_REGION: "eu-west-1", ...own })).toEqual({
      AWS_ENDPOINT_URL_SQS: endpoint,
      AWS_REGION: "eu-west-1",
    });
  });
});
