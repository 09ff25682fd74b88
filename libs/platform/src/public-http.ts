import { promises as dns } from 'node:dns';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type BlockList, isIP, type LookupFunction } from 'node:net';
import { Deadline } from './deadline.js';
import { isLoopbackAddress, isPublicAddress, networkList } from './public-address.js';
import { hostOf, isLocalhostName, publicUrl, UrlRefused, type UrlRules } from './public-url.js';

const DNS_TRY_TIMEOUT_MS = 2_000;
const DNS_TRIES = 3;

export interface PublicHttpOptions extends UrlRules {
  /** Bounds look-up, connect and TLS together. */
  connectTimeoutMs: number;
  /** Bounds the wait for the answer's headers, once connected. */
  headersTimeoutMs: number;
  /** Bounds everything. */
  timeoutMs: number;
  /** How much of the answer's body is read. */
  responseBytes: number;
  /** A name server's client for one request; the system's name servers when absent. */
  resolver?: () => dns.Resolver;
  /** Certificate authorities to trust instead of the usual ones. */
  ca?: string;
}

interface Message {
  headers: Record<string, string>;
}

export interface HttpAnswer {
  /** As received: redirects are answers like others and are not followed. */
  statusCode: number;
  retryAfter: string | undefined;
  /** The beginning of the body, storable as text in PostgreSQL. */
  body: string;
}

/** No answer. `message` is a stable code, and the system's own behind it where there is one: `connection_failed: ECONNRESET`. */
export class RequestFailed extends Error {
  override name = 'RequestFailed';
}

/** The caller has lost interest: nothing is known about the request. */
export class RequestAborted extends Error {
  override name = 'RequestAborted';
}

/**
 * Sends requests to URLs that strangers have chosen, and only to the public internet: a name is resolved once, every one
 * of its addresses is checked, and the connection goes to what was checked, so that a name server which answers otherwise
 * the next time (rebinding) gains nothing. No redirects, no proxy of the environment, no connection kept for later, a
 * deadline for each phase.
 */
export class PublicHttp {
  readonly #options: PublicHttpOptions;
  readonly #refused: BlockList;

  constructor(options: PublicHttpOptions) {
    this.#options = options;
    this.#refused = networkList(options.refusedNetworks);
  }

  /** Posts a body. Rejects with RequestFailed, or RequestAborted when `signal` says so. */
  post(target: string, message: Message & { body: string }, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#send('POST', target, message, signal);
  }

  /** As `post`. */
  get(target: string, message: Message, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#send('GET', target, message, signal);
  }

  async #send(
    method: 'GET' | 'POST',
    target: string,
    message: Message & { body?: string },
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> {
    const { allowLoopback, connectTimeoutMs, timeoutMs } = this.#options;
    const whole = Deadline.after(timeoutMs);
    const connecting = whole.within(connectTimeoutMs);
    const url = parsed(target, this.#options);
    const addresses = await this.#addressesOf(url, connecting);
    for (const address of addresses) {
      const isAllowed = isPublicAddress(address, this.#refused) || (allowLoopback && isLoopbackAddress(address));
      if (!isAllowed) throw new RequestFailed('address_refused');
    }
    return this.#exchange({ url, method, addresses }, message, { whole, connecting, signal });
  }

  /** One look-up, for both families at once; what it answers is all that is ever connected to. */
  async #addressesOf(url: URL, deadline: Deadline): Promise<string[]> {
    const host = hostOf(url);
    if (isIP(host) !== 0) return [host];
    if (isLocalhostName(host)) return ['127.0.0.1'];
    const resolver = this.#options.resolver?.() ?? new dns.Resolver({ timeout: DNS_TRY_TIMEOUT_MS, tries: DNS_TRIES });
    const looked = Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    try {
      const answers = await deadline.race(looked, () => new RequestFailed('dns_timeout'));
      const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
      if (addresses.length === 0) throw new RequestFailed('dns_failed');
      return addresses;
    } finally {
      resolver.cancel();
    }
  }

  #exchange(
    { url, method, addresses }: { url: URL; method: string; addresses: readonly string[] },
    { headers, body }: Message & { body?: string },
    { whole, connecting, signal }: { whole: Deadline; connecting: Deadline; signal: AbortSignal | undefined },
  ): Promise<HttpAnswer> {
    const { headersTimeoutMs, responseBytes, ca } = this.#options;
    return new Promise((resolve, reject) => {
      const isTls = url.protocol === 'https:';
      const request: ClientRequest = (isTls ? httpsRequest : httpRequest)(url, {
        method,
        // An agent of the request's own keeps nothing and knows no proxy.
        agent: false,
        lookup: answering(addresses),
        headers: {
          ...headers,
          ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
          connection: 'close',
        },
        ...(isTls && { rejectUnauthorized: true, minVersion: 'TLSv1.2' as const, ...(ca !== undefined && { ca }) }),
      });
      let answer: IncomingMessage | undefined;
      const chunks: Buffer[] = [];
      let received = 0;
      const give = (error: Error): void => void request.destroy(error);
      const timers = [
        // What has arrived of an answer by then is the answer: its status tells the outcome.
        setTimeout(() => (answer ? finish() : give(new RequestFailed('timeout'))), whole.remainingMs),
      ];
      let phase = setTimeout(() => give(new RequestFailed('connect_timeout')), connecting.remainingMs);
      const onAbort = (): void => give(new RequestAborted());
      const settle = (): void => {
        for (const timer of [...timers, phase]) clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const finish = (): void => {
        settle();
        resolve({
          statusCode: answer?.statusCode ?? 0,
          retryAfter: answer?.headers['retry-after'],
          body: storable(Buffer.concat(chunks).subarray(0, responseBytes)),
        });
        request.destroy();
      };
      if (signal?.aborted) onAbort();
      signal?.addEventListener('abort', onAbort);
      request.once('socket', (socket) => {
        socket.once(isTls ? 'secureConnect' : 'connect', () => {
          clearTimeout(phase);
          phase = setTimeout(() => give(new RequestFailed('headers_timeout')), headersTimeoutMs);
        });
      });
      request.once('response', (response) => {
        answer = response;
        clearTimeout(phase);
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          received += chunk.length;
          if (received >= responseBytes) finish();
        });
        response.on('error', finish);
        response.once('close', finish);
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        settle();
        reject(failureOf(error));
      });
      request.once('close', () => {
        settle();
        if (!answer) reject(new RequestFailed('connection_failed'));
      });
      request.end(body);
    });
  }
}

function parsed(target: string, rules: UrlRules): URL {
  try {
    return publicUrl(target, rules);
  } catch (error) {
    if (error instanceof UrlRefused) throw new RequestFailed('address_refused', { cause: error });
    throw error;
  }
}

/** Answers every look-up of a request's socket with what has been checked. */
function answering(addresses: readonly string[]): LookupFunction {
  const list = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, { all }, callback) => {
    const [first] = list;
    if (all) callback(null, list);
    else callback(null, first?.address ?? '', first?.family);
  };
}

/** What the merchant may read of it: codes, never addresses or our own stack. */
function failureOf(error: NodeJS.ErrnoException): Error {
  if (error instanceof RequestFailed || error instanceof RequestAborted) return error;
  const code = /^[A-Z0-9_]{1,64}$/.test(error.code ?? '') ? `: ${error.code}` : '';
  return new RequestFailed(`connection_failed${code}`, { cause: error });
}

function storable(bytes: Buffer): string {
  return bytes.toString('utf8').replaceAll('\0', '�');
}
