import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import { isCurrency, MAX_AMOUNT } from '#kernel/money.js';
import {
  type Answer,
  answerOf,
  bodyOf,
  faultsIn,
  pathOf,
  plantedHeader,
  queryOf,
  send,
} from '../../simulators/http.js';
import type { Bank } from './bank.js';
import { behaviourOf } from './destinations.js';
import { FAULT, type Fault, Faults, type Route } from './faults.js';
import type { Instruction } from './instruction.js';
import { statementOf } from './statement.js';
import { STATEMENT_FAULTS } from './statement-faults.js';

/**
 * The bank's own API. All of it wants the secret that it has with its customer: `Authorization: Bearer …`.
 *
 *     PUT  /instructions/{key}           pays, once for each key
 *     GET  /instructions/{key}           what became of it
 *     GET  /instructions                 all that it was told, for tests
 *     POST /credits                      somebody has paid us, such as a processor a batch of its
 *     GET  /statements/{date}?account=   camt.053 of a day; `owner=` of one merchant's money alone, as if it had accounts of its own:
 *                                        what its keys begin with, and its credits; `faults=` has it be wrong
 *     PUT  /faults, GET /faults          what goes wrong from now on, and what has
 *     PUT  /away {ms}                    nobody listens for so long
 */

const REQUEST_TIMEOUT_MS = 10_000;

/** As long as camt.053 has room for them. */
const MONEY = {
  amount: z
    .string()
    .regex(/^[1-9]\d{0,15}$/)
    .refine((amount) => BigInt(amount) <= MAX_AMOUNT),
  currency: z.string().refine(isCurrency),
};
const ORDER = z.strictObject({
  key: z.string().min(1).max(140),
  ...MONEY,
  destination: z.string().min(1).max(255),
  reference: z.string().min(1).max(35),
});
const OWNER = z
  .string()
  .regex(/^\d{1,19}$/)
  .optional();
const CREDIT = z.strictObject({
  reference: z.string().min(1).max(140),
  ...MONEY,
  at: z.iso.datetime(),
  owner: OWNER,
});
const STATEMENT = z.strictObject({
  date: z.iso.date(),
  account: z.string().optional(),
  owner: OWNER,
  faults: faultsIn(STATEMENT_FAULTS),
});
const AWAY = z.strictObject({ ms: z.int().min(1).max(600_000) });

const UNKNOWN: Answer = { status: 404, body: { code: 'not_found' } };

/** Instead of an answer the connection drops, or nothing comes. */
type Outcome = Answer | 'drop' | 'hang';
const WRONG: Record<Fault['what'], Outcome> = { drop: 'drop', hang: 'hang', error: { status: 500 } };

export class BankServer {
  readonly http: Server;
  readonly #faults = new Faults();
  #back: NodeJS.Timeout | undefined;

  constructor(
    private readonly bank: Bank,
    private readonly secret: string,
  ) {
    this.http = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      this.#outcomeOf(request, response).then(
        (outcome) => deliver(response, outcome),
        (error: Error) => send(response, refusalOf(error)),
      );
    });
    this.http.headersTimeout = REQUEST_TIMEOUT_MS;
  }

  stop(): void {
    clearTimeout(this.#back);
    this.http.close();
    this.http.closeAllConnections();
  }

  async #outcomeOf(request: IncomingMessage, response: ServerResponse): Promise<Outcome> {
    if (request.headers.authorization !== `Bearer ${this.secret}`)
      return { status: 401, body: { code: 'unauthorized' } };
    const [what, name, ...more] = pathOf(request);
    switch (
      `${request.method} /${[what, ...[name, ...more].filter((part) => part !== undefined).map(() => '_')].join('/')}`
    ) {
      case 'PUT /instructions/_':
        return this.#befallen('instruct', name, async () => this.#instruct(name, await bodyOf(request)));
      case 'GET /instructions/_':
        return this.#befallen('ask', name, async () => this.#ask(name ?? ''));
      case 'GET /statements/_':
        return this.#befallen('statement', name, async () => this.#statement(name, request));
      case 'POST /credits':
        return this.#credit(await bodyOf(request));
      case 'GET /instructions':
        return { status: 200, body: { data: [...this.bank.all].map(shown) } };
      case 'PUT /faults':
        this.#faults.set(z.array(FAULT).parse(await bodyOf(request)));
        return { status: 200, body: { data: this.#faults.all } };
      case 'GET /faults':
        return { status: 200, body: { data: this.#faults.all } };
      case 'PUT /away': {
        const { ms } = AWAY.parse(await bodyOf(request));
        response.once('finish', () => this.#goAway(ms));
        return { status: 200 };
      }
      default:
        return UNKNOWN;
    }
  }

  /** What was asked for, or what goes wrong instead of it or after it. */
  async #befallen(route: Route, name = '', work: () => Promise<Outcome>): Promise<Outcome> {
    const fault = this.#faults.next(route, name);
    if (!fault) return work();
    if (fault.when === 'after') await work();
    return WRONG[fault.what];
  }

  #instruct(key: string | undefined, body: unknown): Outcome {
    const order = ORDER.parse({ ...z.looseObject({}).parse(body), key });
    const taken = this.bank.take(order);
    if (taken === 'another under the key') return { status: 409, body: { code: 'another_instruction_under_the_key' } };
    const { refuses, losesAnswer } = behaviourOf(order.destination);
    if (refuses) return { status: 422, body: { code: refuses } };
    if (losesAnswer && taken === 'new') return 'drop';
    const { bankReference } = this.bank.get(key ?? '') as Instruction;
    return { status: 202, body: { key, bank_reference: bankReference, status: 'accepted', sequence: 1 } };
  }

  #ask(key: string): Outcome {
    const instruction = this.bank.get(key);
    return instruction?.last ? { status: 200, body: shown(instruction) } : UNKNOWN;
  }

  #credit(body: unknown): Outcome {
    const credit = CREDIT.parse(body);
    const taken = this.bank.credit(credit);
    if (taken === 'another under the key') return { status: 409, body: { code: 'another_credit_under_the_reference' } };
    return { status: 201, body: credit };
  }

  #statement(date: string | undefined, request: IncomingMessage): Outcome {
    const { faults = [], owner, ...asked } = STATEMENT.parse({ ...queryOf(request), date });
    const statement = statementOf(this.bank.accountsOf(owner), { ...asked, faults, nowMs: Date.now() });
    if (!statement) return UNKNOWN;
    const text = { type: 'application/xml; charset=utf-8', content: statement.content };
    return { status: 200, headers: plantedHeader(statement.planted), text };
  }

  #goAway(ms: number): void {
    const { port, address } = this.http.address() as AddressInfo;
    this.http.close();
    this.http.closeAllConnections();
    this.#back = setTimeout(() => this.http.listen(port, address), ms);
  }
}

/** With a code, as all that the bank refuses. */
function refusalOf(error: Error): Answer {
  const { status, body } = answerOf(error);
  return { status, body: { ...(body as object), code: status === 422 ? 'invalid_request' : 'internal' } };
}

function deliver(response: ServerResponse, outcome: Outcome): void {
  if (outcome === 'drop') response.socket?.resetAndDestroy();
  else if (outcome !== 'hang') send(response, outcome);
}

/** `history` is what it says of itself; a refusal is a status of its own that nobody but a test is shown. */
function shown(instruction: Instruction): object {
  const { order, bankReference, last, refusal, failureCode, words } = instruction;
  return {
    ...order,
    bank_reference: bankReference,
    status: last?.status ?? 'refused',
    ...((refusal ?? failureCode) && { failure_code: refusal ?? failureCode }),
    sequence: last?.sequence ?? 0,
    history: words.map(({ status, atMs, sequence }) => ({ status, at: new Date(atMs).toISOString(), sequence })),
  };
}
