// A merchant's server as small as it can be: takes webhooks on loopback and checks their signatures.
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { freePort, isPortFree } from './ports.mjs';

const HOST = '127.0.0.1';
const MAX_BODY_BYTES = 1_048_576;

/** @typedef {{ port: number, id?: string, secret?: string }} Endpoint where it listens, and as what the service knows it */
/** @typedef {(method: string, path: string, body?: unknown) => Promise<any>} Call to the API, with the merchant's key */
/** @typedef {{ id: string, type: string, data: { amount?: string, currency?: string, code?: string } }} WebhookEvent */

export class WebhookReceiver {
  /** @type {import('node:http').Server} */ #server;
  /** @type {string} */ #path;
  /** @type {(event: WebhookEvent, body: string) => void} */ #told;
  /** @type {Endpoint} */ endpoint;

  /** @param {{ path: string, told: (event: WebhookEvent, body: string) => void }} options @param {Endpoint} endpoint */
  constructor({ path, told }, endpoint) {
    this.#path = path;
    this.#told = told;
    this.endpoint = endpoint;
    this.#server = createServer((request, response) => void this.#take(request, response));
  }

  /**
   * On the port of the last time where that is free, so that what was registered then is still right.
   * @param {object} options
   * @param {string} options.path tells its endpoints from the merchant's others
   * @param {(event: WebhookEvent, body: string) => void} options.told
   * @param {Endpoint | undefined} [options.last]
   */
  static async listen({ last, ...options }) {
    const endpoint = last && (await isPortFree(last.port, HOST)) ? last : { port: await freePort() };
    const receiver = new WebhookReceiver(options, endpoint);
    await new Promise((resolve, reject) => {
      receiver.#server.once('error', reject);
      receiver.#server.listen(endpoint.port, HOST, () => resolve(undefined));
    });
    return receiver;
  }

  get url() {
    return `http://${HOST}:${this.endpoint.port}${this.#path}`;
  }

  /** Has a merchant's events sent here, however often it is called. @param {Call} call */
  async register(call) {
    const { data } = await call('GET', '/v1/webhook_endpoints?limit=1000');
    let known = false;
    for (const { id, url, status } of data) {
      if (new URL(url).pathname !== this.#path) continue;
      const isThis = url === this.url && id === this.endpoint.id;
      known ||= isThis;
      // One whose port or secret is lost is of no use any more.
      if (!isThis) await call('DELETE', `/v1/webhook_endpoints/${id}`);
      else if (status === 'disabled') await call('POST', `/v1/webhook_endpoints/${id}/enable`);
    }
    if (known) return;
    const { id, secret } = await call('POST', '/v1/webhook_endpoints', { url: this.url });
    this.endpoint = { port: this.endpoint.port, id, secret };
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #take(request, response) {
    try {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) {
        body += chunk;
        if (body.length > MAX_BODY_BYTES) throw new Error('too large');
      }
      const headers = /** @type {Record<string, string>} */ (request.headers);
      this.#told(/** @type {any} */ (new Webhook(this.endpoint.secret ?? '').verify(body, headers)), body);
      response.writeHead(204).end();
    } catch {
      // Not for us, or sent before we knew our secret: it comes again.
      response.writeHead(401).end();
    }
  }
}

/** An event in a line. @param {WebhookEvent} event */
export function webhookLine({ id, type, data }) {
  const what = data.amount === undefined ? (data.code ?? '') : `${data.amount} ${data.currency}`;
  return `webhook ${id} ${type} ${what} (signature verified)`;
}
