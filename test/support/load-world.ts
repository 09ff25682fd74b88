import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request, World } from '../../k6/lib/client.ts';
import type { Answer, Kind } from '../../k6/lib/contract.ts';

/** The service as the load suite's library sees it, without k6. */
export class LoadWorld implements World {
  /** How many answers of each kind came. */
  readonly kinds: Partial<Record<Kind, number>> = {};

  constructor(private readonly url: string) {}

  async send({ method, path, key, body, idempotencyKey }: Request): Promise<Answer> {
    const traceId = randomBytes(16).toString('hex');
    const headers = {
      authorization: `Bearer ${key}`,
      traceparent: `00-${traceId}-${'b'.repeat(16)}-01`,
      ...(body && { 'content-type': 'application/json' }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    };
    const began = performance.now();
    const told = (status: number, text: string, header: Answer['header']): Answer => {
      return { status, body: text, ms: performance.now() - began, traceId, header };
    };
    try {
      const answer = await fetch(this.url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) });
      return told(answer.status, await answer.text(), (name) => answer.headers.get(name) ?? undefined);
    } catch {
      return told(0, '', () => undefined);
    }
  }

  async pause(ms: number): Promise<void> {
    await sleep(ms);
  }

  heard(_request: Request, _answer: Answer, kind: Kind): void {
    this.kinds[kind] = (this.kinds[kind] ?? 0) + 1;
  }
}
