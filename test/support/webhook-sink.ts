import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  path: string;
  /** webhook-id. */
  id: string;
  headers: IncomingHttpHeaders;
  /** As sent. */
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: looked into at will
  body: any;
}

export type Respond = (response: ServerResponse, received: Received, request: IncomingMessage) => void;

export function status(
  code: number,
  headers: Record<string, string> = {},
  body = '',
): (response: ServerResponse) => void {
  return (response) => void response.writeHead(code, headers).end(body);
}

/** A receiver of webhooks on 127.0.0.1 that answers as it is told. */
export class WebhookSink {
  readonly received: Received[] = [];
  /** Most requests that it has had in hand at once. */
  most = 0;
  respond: Respond = status(200);
  #inHand = 0;

  private constructor(private readonly server: Server) {}

  static async open(respond: Respond = status(200)): Promise<WebhookSink> {
    const server = createServer();
    const sink = new WebhookSink(server);
    sink.respond = respond;
    server.on('request', (request, response) => void sink.#take(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return sink;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hooks`;
  }

  /** webhook-ids in the order of arrival. */
  get ids(): string[] {
    return this.received.map(({ id }) => id);
  }

  async close(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close').catch(() => undefined);
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#inHand += 1;
    this.most = Math.max(this.most, this.#inHand);
    response.once('close', () => {
      this.#inHand -= 1;
    });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const { headers, url = '' } = request;
    const received = { path: url, id: String(headers['webhook-id']), headers, text, body: text && JSON.parse(text) };
    this.received.push(received);
    this.respond(response, received, request);
  }
}
