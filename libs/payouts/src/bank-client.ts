import type { Span } from '@opentelemetry/api';
import { z } from 'zod';
import type { Logger } from '#platform/logging.js';
import { endRequestSpan, failRequestSpan, startRequestSpan } from '#platform/request-spans.js';
import { traceparentOf } from '#platform/tracing.js';
import type { Bank, Instructed, Instruction, Known } from './bank.js';

export interface BankClientOptions {
  /** Without a slash at its end. */
  readonly url: string;
  /** What we prove ourselves with; the bank signs its callbacks with it. */
  readonly secret: string;
  /** For one request, its answer included. */
  readonly timeoutMs: number;
}

/** More of an answer is not read. */
const MAX_ANSWER_BYTES = 65_536;
const MAX_SEQUENCE = 2_147_483_647;

/** As PostgreSQL can keep it. */
const text = z.string().regex(/^[^\p{Cc}\p{Cs}]{1,255}$/u);
const sequence = z.int().min(1).max(MAX_SEQUENCE);
const ACCEPTED = z.looseObject({ key: text, bank_reference: text, status: z.literal('accepted'), sequence });
const REFUSED = z.looseObject({ code: text });
const ABSENT = z.looseObject({ code: z.literal('not_found') });
const KNOWN = z.looseObject({
  key: text,
  bank_reference: text,
  status: z.enum(['accepted', 'paid', 'failed', 'returned']),
  failure_code: text.nullish(),
  sequence,
});

/** Answers that say what is wrong with us or with how we are set up; to ask again would change nothing. */
const OUR_FAULT = [400, 401, 403, 405, 409, 413, 415];
const UNKNOWN = { kind: 'unknown' } as const;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** The bank at BANK_URL. Whatever is not its word, in time and as agreed on, leaves what was asked unknown. */
export class BankClient implements Bank {
  readonly #options: BankClientOptions;
  readonly #logger: Pick<Logger, 'warn'> | undefined;

  constructor(options: BankClientOptions, logger?: Pick<Logger, 'warn'>) {
    this.#options = options;
    this.#logger = logger;
  }

  async instruct(instruction: Instruction, within?: Span): Promise<Instructed> {
    const { key, amount, currency, destination, reference } = instruction;
    const body = JSON.stringify({ amount: String(amount), currency, destination, reference });
    const answer = await this.#exchange('PUT', key, { body, within });
    if (!answer) return UNKNOWN;
    const accepted = answer.status === 202 ? ACCEPTED.safeParse(answer.body).data : undefined;
    if (accepted?.key === key)
      return { kind: 'accepted', reference: accepted.bank_reference, sequence: accepted.sequence };
    const refused = answer.status === 422 ? REFUSED.safeParse(answer.body).data : undefined;
    return refused ? { kind: 'refused', code: refused.code } : this.#unknown(key, answer);
  }

  async ask(key: string, within?: Span): Promise<Known> {
    const answer = await this.#exchange('GET', key, { within });
    if (!answer) return UNKNOWN;
    if (answer.status === 404 && ABSENT.safeParse(answer.body).success) return { kind: 'absent' };
    const known = answer.status === 200 ? KNOWN.safeParse(answer.body).data : undefined;
    if (known?.key !== key) return this.#unknown(key, answer);
    const { status, bank_reference: reference, failure_code: failureCode } = known;
    return { kind: 'known', status, reference, sequence: known.sequence, ...(failureCode && { failureCode }) };
  }

  #unknown(key: string, { status }: Answer): typeof UNKNOWN {
    this.#logger?.warn({ key, status }, 'the bank gave an answer that says nothing');
    return UNKNOWN;
  }

  /** Undefined: there was no answer, or not in time, or not a whole one. */
  async #exchange(
    method: 'GET' | 'PUT',
    key: string,
    { body, within }: { body?: string; within: Span | undefined },
  ): Promise<Answer | undefined> {
    const { url, secret, timeoutMs } = this.#options;
    const span = startRequestSpan(within, { method, of: 'bank', url });
    const traceparent = traceparentOf(span);
    const headers = {
      authorization: `Bearer ${secret}`,
      accept: 'application/json',
      ...(body && { 'content-type': 'application/json' }),
      ...(traceparent && { traceparent }),
    };
    const signal = AbortSignal.timeout(timeoutMs);
    let answer: Answer;
    try {
      const response = await fetch(`${url}/instructions/${encodeURIComponent(key)}`, {
        method,
        headers,
        ...(body && { body }),
        signal,
        redirect: 'manual',
      });
      answer = { status: response.status, body: jsonOf(await bounded(response)) };
      endRequestSpan(span, answer.status, response.ok || isAnswer(method, answer.status));
    } catch (err) {
      failRequestSpan(span, err);
      this.#logger?.warn({ err, key }, 'the bank did not answer');
      return undefined;
    }
    if (OUR_FAULT.includes(answer.status))
      throw new Error(`the bank answered ${answer.status} to ${method} of instruction ${key}`);
    return answer;
  }
}

/** That it has no such instruction, or does not take it, is what it was asked. */
function isAnswer(method: 'GET' | 'PUT', status: number): boolean {
  return status === (method === 'GET' ? 404 : 422);
}

/** Throws where there is more than is read. */
async function bounded({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop ends the rest of the answer.
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function jsonOf(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}
