import { once } from "node:events";
import net, { type AddressInfo } from "node:net";

/** What stands before a server that is to seem far away. */
export interface FarProxy {
  readonly endpoint: string;
  close(): void;
}

/** Passes on what a server is asked, and what it answers so many milliseconds later. */
export async function startFarProxy(endpoint: string, milliseconds: number): Promise<FarProxy> {
  const { hostname, port } = new URL(endpoint);
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ noDelay: true }, (near) => {
    const far = net.connect({ host: hostname, port: Number(port), noDelay: true });
    for (const [socket, other] of [[near, far] as const, [far, near] as const]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        // After what is still on its way.
        setTimeout(() => other.destroy(), milliseconds);
      });
    }
    near.on("data", (chunk) => far.write(chunk));
    far.on("data", (chunk) => setTimeout(() => near.write(chunk), milliseconds));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
