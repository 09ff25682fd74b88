import { createServer, type IncomingMessage, type Server } from 'node:http';
import { z } from 'zod';
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
import { CONTRADICTIONS, type Contradiction } from './contradictions.js';
import { PLOT_NAMES } from './life.js';
import { REPORT_FAULTS } from './reports/faults.js';
import { REPORT_FORMATS } from './reports/report.js';
import type { Simulator } from './simulator.js';

/**
 * The provider's own API. Whoever sets it up has its key; who asks for a payment has the account's.
 *
 *     PUT  /accounts/{name}                            where its webhooks go, and how they are signed
 *     GET  /accounts/{name}                            how much has been told
 *     POST /accounts/{name}/payments                   holds payments and tells of them
 *     POST /accounts/{name}/payments/{ref}/contradict  tells what cannot be true
 *     GET  /payments/{ref}                             what is true, told or not (with the account's api_key)
 *     GET  /reports/{format}?from=&to=&batch=&faults=  what is true of all of them, as a CSV (with the account's api_key)
 */

const REQUEST_TIMEOUT_MS = 10_000;

const text = z.string().min(1).max(255);
const ACCOUNT = z.strictObject({
  url: z.url(),
  secret: z.string().startsWith('whsec_'),
  api_key: z.string().min(16).max(255),
  currency: z.string().regex(/^[A-Z]{3}$/),
  since: z.iso.datetime(),
});
const HOLD = z.strictObject({
  refs: z.array(text).min(1).max(10_000),
  plot: z.enum(PLOT_NAMES).optional(),
  tell: z.enum(['shuffled', 'backwards']).default('shuffled'),
});
const CONTRADICT = z.strictObject({ kind: z.enum(Object.keys(CONTRADICTIONS) as [Contradiction, ...Contradiction[]]) });

const REPORT = z.strictObject({
  format: z.enum(REPORT_FORMATS),
  from: z.iso.date().optional(),
  to: z.iso.date().optional(),
  batch: text.optional(),
  faults: faultsIn(REPORT_FAULTS),
});

const REFUSALS = { unauthorized: { status: 401 }, unknown: { status: 404 } } satisfies Record<string, Answer>;

export function serve(simulator: Simulator, key: string): Server {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    answerTo(simulator, key, request).then(
      (answer) => send(response, answer),
      (error: Error) => send(response, answerOf(error)),
    );
  });
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  return server;
}

async function answerTo(simulator: Simulator, key: string, request: IncomingMessage): Promise<Answer> {
  const [what, name = '', part, ref = '', verb] = pathOf(request);
  const bearer = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
  if (what === 'payments' && request.method === 'GET' && part === undefined) {
    const life = simulator.payment(bearer, name);
    return life ? { status: 200, body: { payment_ref: life.ref, events: life.facts } } : REFUSALS.unknown;
  }
  if (what === 'reports' && request.method === 'GET' && part === undefined) {
    const report = simulator.report(bearer, REPORT.parse({ ...queryOf(request), format: name }));
    if (!report) return REFUSALS.unknown;
    const text = { type: 'text/csv; charset=utf-8', content: report.lines };
    return { status: 200, headers: plantedHeader(report.planted), text };
  }
  if (bearer !== key) return REFUSALS.unauthorized;
  if (what !== 'accounts' || name === '') return REFUSALS.unknown;
  if (part === undefined) {
    if (request.method === 'PUT') simulator.open(name, ACCOUNT.parse(await bodyOf(request)));
    else if (request.method !== 'GET') return REFUSALS.unknown;
    return { status: 200, body: simulator.counts(name) };
  }
  if (part !== 'payments' || request.method !== 'POST') return REFUSALS.unknown;
  if (ref === '') {
    simulator.hold(name, HOLD.parse(await bodyOf(request)));
    return { status: 202, body: simulator.counts(name) };
  }
  if (verb !== 'contradict') return REFUSALS.unknown;
  const { kind } = CONTRADICT.parse(await bodyOf(request));
  return { status: 202, body: simulator.contradict(name, ref, kind) };
}
