import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CONTENT_TYPES, formatFor } from './exposition.js';
import { type Metrics, ScrapeGate } from './metrics.js';

/** `GET /metrics` on a port of its own, so that no proxy in front of the API can lead to it. For all but METRICS_ALLOW there is no such route. */
export class MetricsServer {
  private constructor(private readonly server: Server) {}

  /** `port` 0: one that the system chooses. Rejects when the port is taken. */
  static async listen(
    metrics: Metrics,
    { host, port, allow }: { host: string; port: number; allow: readonly string[] },
  ): Promise<MetricsServer> {
    const gate = new ScrapeGate(allow);
    const server = createServer(async (request, response) => {
      const isScrape = request.method === 'GET' && request.url?.split('?', 1)[0] === '/metrics';
      if (!isScrape || !gate.admits(request.socket.remoteAddress, request.headers)) {
        response.writeHead(404).end();
        return;
      }
      try {
        const format = formatFor(request.headers.accept);
        const text = await metrics.text(format);
        response.writeHead(200, { 'content-type': CONTENT_TYPES[format] }).end(text);
      } catch {
        response.writeHead(500).end();
      }
    });
    server.listen(port, host);
    await once(server, 'listening');
    return new MetricsServer(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}
