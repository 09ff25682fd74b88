// The demo's receiver of webhooks: a merchant's server as small as it can be. It lives in the supervisor of `npm start` and
// ends with it.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { freePort, isPortFree } from './ports.mjs';

const HOST = '127.0.0.1';
const PATH = '/counterfoil-demo';
const MAX_BODY_BYTES = 1_048_576;
/** Events that are told one by one; after them a count, now and then. */
const TOLD = 8;
const COUNT_EVERY_MS = 1_000;

/** @typedef {{ port: number, id?: string, secret?: string }} Kept the endpoint of an earlier start */
/** @typedef {(method: string, path: string, body?: unknown) => Promise<any>} Call to the API, with the merchant's key */

export class WebhookSink {
  /** @type {import('node:http').Server} */ #server;
  /** @type {string} */ #file;
  /** @type {Kept} */ #kept;
  /** @type {(line: string) => void} */ #say;
  #count = 0;
  /** @type {NodeJS.Timeout | undefined} */ #counting;

  /** @param {string} file @param {Kept} kept @param {(line: string) => void} say */
  constructor(file, kept, say) {
    this.#file = file;
    this.#kept = kept;
    this.#say = say;
    this.#server = createServer((request, response) => void this.#take(request, response));
  }

  /**
   * On the port of the last time where that is free, so that what was registered then is still right.
   * @param {{ folder: string, say: (line: string) => void }} options
   */
  static async open({ folder, say }) {
    const file = join(folder, 'webhook-sink.json');
    /** @type {Kept | undefined} */
    const last = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
    const kept = last && (await isPortFree(last.port, HOST)) ? last : { port: await freePort() };
    const sink = new WebhookSink(file, kept, say);
    await new Promise((resolve, reject) => {
      sink.#server.once('error', reject);
      sink.#server.listen(kept.port, HOST, () => resolve(undefined));
    });
    return sink;
  }

  get url() {
    return `http://${HOST}:${this.#kept.port}${PATH}`;
  }

  /** Has a merchant's events sent here, however often it is called. @param {Call} call */
  async register(call) {
    const { data } = await call('GET', '/v1/webhook_endpoints?limit=1000');
    let known = false;
    for (const { id, url, status } of data) {
      if (new URL(url).pathname !== PATH) continue;
      known = url === this.url && id === this.#kept.id;
      // One whose port or secret is lost is of no use any more.
      if (!known) await call('DELETE', `/v1/webhook_endpoints/${id}`);
      else if (status === 'disabled') await call('POST', `/v1/webhook_endpoints/${id}/enable`);
    }
    if (known) return;
    const { id, secret } = await call('POST', '/v1/webhook_endpoints', { url: this.url });
    this.#kept = { port: this.#kept.port, id, secret };
    writeFileSync(`${this.#file}.new`, `${JSON.stringify(this.#kept)}\n`, { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }

  close() {
    clearTimeout(this.#counting);
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
      this.#tell(/** @type {any} */ (new Webhook(this.#kept.secret ?? '').verify(body, headers)));
      response.writeHead(204).end();
    } catch {
      // Not for us, or sent before we knew our secret: it comes again.
      response.writeHead(401).end();
    }
  }

  /** @param {{ id: string, type: string, data: { amount?: string, currency?: string, code?: string } }} event */
  #tell({ id, type, data }) {
    this.#count += 1;
    const what = data.amount === undefined ? (data.code ?? '') : `${data.amount} ${data.currency}`;
    if (this.#count <= TOLD) this.#say(`webhook ${id} ${type} ${what} (signature verified)`);
    else this.#counting ??= setTimeout(() => this.#tellCount(), COUNT_EVERY_MS);
  }

  #tellCount() {
    this.#counting = undefined;
    this.#say(`webhooks received so far: ${this.#count}`);
  }
}
