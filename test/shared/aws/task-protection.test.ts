import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TaskProtection } from "#shared/aws/task-protection.ts";
import { log } from "#shared/observability/log.ts";

log.level = "silent";

describe("protection from a scale-in", () => {
  let agent: http.Server;
  let url: string;
  let asked: unknown[];
  let answer: (response: http.ServerResponse) => void;

  beforeEach(async () => {
    asked = [];
    answer = (response) => response.end('{"protection": {}}');
    agent = http.createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      asked.push([request.method, request.url, JSON.parse(body)]);
      answer(response);
    });
    agent.listen(0, "127.0.0.1");
    await once(agent, "listening");
    url = `http://127.0.0.1:${(agent.address() as AddressInfo).port}/api/task`;
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    agent.closeAllConnections();
    agent.close();
  });

  const on = ["PUT", "/api/task/task-protection/v1/state", { ProtectionEnabled: true, ExpiresInMinutes: 30 }];
  const off = ["PUT", "/api/task/task-protection/v1/state", { ProtectionEnabled: false }];

  it("is asked for when work comes and given up when it has gone", async () => {
    const protection = new TaskProtection(url);
    protection.protect(true);
    await protection.settled();
    protection.protect(false);
    await protection.settled();
    expect(asked).toEqual([on, off]);
  });

  it("follows what is wanted last, one request at a time", async () => {
    const held = Promise.withResolvers<http.ServerResponse>();
    answer = held.resolve;
    const protection = new TaskProtection(url);
    protection.protect(true);
    const response = await held.promise;
    for (const busy of [false, true, false]) protection.protect(busy);
    answer = (later) => later.end("{}");
    expect(asked).toEqual([on]);
    response.end("{}");
    await protection.settled();
    expect(asked).toEqual([on, off]);
  });

  it("is asked for once while work follows work", async () => {
    const protection = new TaskProtection(url);
    protection.protect(true);
    await protection.settled();
    protection.protect(true);
    await protection.settled();
    expect(asked).toEqual([on]);
  });

  it("that is refused, or an agent that is away, harms nobody", async () => {
    answer = (response) => response.writeHead(400).end('{"error": {"Code": "AccessDeniedException"}}');
    const refused = new TaskProtection(url);
    refused.protect(true);
    await refused.settled();
    agent.closeAllConnections();
    agent.close();
    const away = new TaskProtection(url);
    away.protect(true);
    await away.settled();
    expect(asked).toEqual([on]);
  });

  it("is for tasks of ECS alone", () => {
    vi.stubEnv("ECS_AGENT_URI", "");
    expect(TaskProtection.fromEnvironment()).toBeUndefined();
    vi.stubEnv("ECS_AGENT_URI", url);
    expect(TaskProtection.fromEnvironment()).toBeInstanceOf(TaskProtection);
  });
});
