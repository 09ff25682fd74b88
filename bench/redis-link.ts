import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A way to Redis that can be cut. */
export class RedisLink {
  readonly #listener: Server;
  readonly #sockets = new Set<Socket>();
  readonly url: string;

  private constructor(listener: Server, target: URL) {
    this.#listener = listener;
    const url = new URL(target);
    url.host = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
    this.url = url.href;
    listener.on('connection', (client) => {
      const server = connect(Number(target.port), target.hostname);
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => undefined);
        from.once('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
  }

  static async open(url: string): Promise<RedisLink> {
    const listener = createServer();
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return new RedisLink(listener, new URL(url));
  }

  /** From now on nobody is there. */
  cut(): void {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
