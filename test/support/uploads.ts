import { once } from 'node:events';
import { type ClientRequest, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { type Answer, OPERATOR_KEY } from './api.js';

export const GENERIC_HEAD = 'reference,object_ref,type,gross,fee,net,currency,occurred_at,batch\n';

/** A row of a generic report. */
export function genericRow(reference: string, more: { gross?: number | string; type?: string } = {}): string {
  const { gross = 1_000, type = 'payment' } = more;
  return `${reference},,${type},${gross},0,${gross},EUR,2026-11-20T10:00:00Z,\n`;
}

export function genericReport(rows: number, prefix = 'pay'): string {
  return GENERIC_HEAD + Array.from({ length: rows }, (_, index) => genericRow(`${prefix}-${index}`)).join('');
}

/** A TestApi, or another process. */
export interface UploadedTo {
  url: string;
  watched?(answer: Answer): void;
}

export interface UploadOptions {
  merchantId: string;
  query?: string;
  type?: string;
  key?: string;
  headers?: Record<string, string>;
}

/** An upload that its sender is in the middle of. */
export class Upload {
  readonly #request: ClientRequest;
  readonly answer: Promise<Answer>;

  constructor(api: UploadedTo, options: UploadOptions) {
    const { merchantId, query = 'source=generic', type = 'text/csv', key, headers = {} } = options;
    this.#request = request(`${api.url}/v1/reconciliations?${query}`, {
      method: 'POST',
      agent: false,
      headers: {
        authorization: `Bearer ${OPERATOR_KEY}`,
        'counterfoil-merchant': merchantId,
        'content-type': type,
        ...(key !== undefined && { 'idempotency-key': key }),
        ...headers,
      },
    });
    this.#request.on('error', () => undefined);
    this.answer = this.#answer(api, `/v1/reconciliations?${query}`);
    this.answer.catch(() => undefined);
  }

  /** Resolves when the kernel has taken it. */
  async send(bytes: string | Buffer): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#request.write(bytes, () => resolve());
    await Promise.race([promise, this.answer.catch(() => undefined)]);
  }

  end(bytes: string | Buffer = ''): Promise<Answer> {
    this.#request.end(bytes);
    return this.answer;
  }

  /** As a client that is gone. */
  breakOff(): void {
    this.#request.destroy();
  }

  async #answer(api: UploadedTo, path: string): Promise<Answer> {
    const [response] = await once(this.#request, 'response');
    const said = await text(response);
    this.#request.destroy();
    const headers = new Headers(response.headers);
    const answer = { method: 'POST', path, status: response.statusCode, headers, text: said, body: JSON.parse(said) };
    api.watched?.(answer);
    return answer;
  }
}

export function upload(api: UploadedTo, options: UploadOptions, bytes: string | Buffer): Promise<Answer> {
  return new Upload(api, options).end(bytes);
}
