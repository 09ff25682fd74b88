import type { Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Merchant, TestApi } from './api.js';

/** A request whose client goes away before it is answered, at a moment of the test's own. */
export class CutRequest {
  private constructor(
    private readonly socket: Socket,
    private readonly served: Socket,
  ) {}

  /** `more`: headers, and the body. */
  static async send(api: TestApi, as: Merchant, line: string, more: string): Promise<CutRequest> {
    const { hostname, port } = new URL(api.url);
    const socket = connect(Number(port), hostname).on('error', () => undefined);
    const served = await new Promise<Socket>((resolve) => {
      const server = api.app.getHttpServer() as Server;
      server.on('connection', function found(one: Socket) {
        if (one.remotePort !== socket.localPort) return;
        server.off('connection', found);
        resolve(one);
      });
    });
    socket.write(`${line} HTTP/1.1\r\nHost: x\r\nAuthorization: ${as.client.headers.authorization}\r\n${more}`);
    return new CutRequest(socket, served);
  }

  /** Resolves once the API has seen it. */
  async cut(): Promise<void> {
    const seen = new Promise((resolve) => this.served.once('close', resolve));
    this.socket.resetAndDestroy();
    await seen;
  }
}
