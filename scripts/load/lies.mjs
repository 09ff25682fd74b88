// A proxy that lies for the service: a load suite that believes it proves nothing. `npm run k6 -- <scenario> --lie <name>`; test/load-lies.test.ts.
import { createServer } from 'node:http';
import { listenLocally } from './listen.mjs';

/**
 * @typedef {{ method: string, path: string, headers: Record<string, string>, body: string }} Asked
 * @typedef {{ status: number, headers: Record<string, string>, body: string }} Answered undefined: the connection is cut
 * @typedef {(asked: Asked) => Promise<Answered>} Forward
 * @typedef {(asked: Asked, forward: Forward) => Promise<Answered | undefined>} Lie
 */

const PASSED = ['authorization', 'content-type', 'idempotency-key', 'traceparent', 'counterfoil-merchant', 'accept'];
/** Of what it could lie about, it lies about one in so many. */
const ONE_IN = 10;

/** Counts for itself: true for one in ONE_IN, the first of which comes soon. */
function nowAndThen() {
  let n = 0;
  return () => n++ % ONE_IN === 2;
}

/** @param {Asked} asked */
const isPosting = ({ method, path }) => method === 'POST' && path === '/v1/transactions';
/** @param {Asked} asked */
const isBatch = ({ method, path }) => method === 'POST' && path === '/v1/transactions/batch';
/** What may be sent again: postings, batches and ends of holds by their key, facts by their id. @param {Asked} asked */
const isRepeatable = ({ method, path }) =>
  method === 'POST' && /^\/v1\/(transactions|provider_events|payments)/.test(path);
/** @param {Asked} asked */
const isLog = ({ method, path }) => method === 'GET' && path.startsWith('/v1/events');
/** @param {Asked} asked */
const isPoll = (asked) => isLog(asked) && asked.path.includes('wait_ms=');

/** Changes what is told of a page of events. @param {(asked: Asked) => boolean} of @param {(events: any[]) => any[]} change @returns {Lie} */
const toldOtherwise = (of, change) => async (asked, forward) => {
  const answered = await forward(asked);
  if (!of(asked) || answered.status !== 200) return answered;
  const page = JSON.parse(answered.body);
  return { ...answered, body: JSON.stringify({ ...page, data: change(page.data) }) };
};

/** @param {(asked: Asked) => boolean} of @param {Lie} lie @returns {Lie} */
const sometimes = (of, lie) => {
  const isTurn = nowAndThen();
  return (asked, forward) => (of(asked) && isTurn() ? lie(asked, forward) : forward(asked));
};

/** @param {number} status @param {string} code @param {Record<string, string>} [headers] @returns {Answered} */
function problem(status, code, headers = {}) {
  const body = JSON.stringify({
    type: 'about:blank',
    title: code,
    status,
    detail: code,
    code,
    trace_id: 'a'.repeat(32),
  });
  return { status, headers: { 'content-type': 'application/problem+json', ...headers }, body };
}

/** How each is made, with what it remembers. @type {Record<string, () => Lie>} */
export const LIES = {
  /** Acknowledged, and not written. */
  lost: () =>
    sometimes(isPosting, async (asked, forward) => {
      const rehearsed = await forward({ ...asked, body: JSON.stringify({ ...JSON.parse(asked.body), dry_run: true }) });
      const { dry_run: _, ...transaction } = JSON.parse(rehearsed.body);
      if (rehearsed.status !== 200) return rehearsed;
      return { ...rehearsed, status: 201, body: JSON.stringify({ ...transaction, id: '1' }) };
    }),
  /** Written twice. */
  twice: () =>
    sometimes(
      (asked) => isPosting(asked) || isBatch(asked),
      async (asked, forward) => {
        await forward({
          ...asked,
          headers: { ...asked.headers, 'idempotency-key': `${asked.headers['idempotency-key']}-2` },
        });
        return forward(asked);
      },
    ),
  /** Keys mean nothing: whoever sends again posts again. */
  keyless: () => {
    let n = 0;
    return (asked, forward) => {
      const key = asked.headers['idempotency-key'];
      return forward(
        key === undefined ? asked : { ...asked, headers: { ...asked.headers, 'idempotency-key': `${key}-${n++}` } },
      );
    };
  },
  /** Another amount, alone and in batches. */
  changed: () =>
    sometimes(
      ({ method, path }) => method === 'POST' && path.startsWith('/v1/transactions'),
      (asked, forward) =>
        forward({
          ...asked,
          body: asked.body.replace(/"amount":"(\d+)"/g, (_, amount) => `"amount":"${Number(amount) + 1}"`),
        }),
    ),
  /** A balance is what it was when it was first asked for. */
  stale: () => {
    /** @type {Map<string, Answered>} */
    const first = new Map();
    return async (asked, forward) => {
      if (!/\/balance(?!.*strong)/.test(asked.path)) return forward(asked);
      const path = asked.path.replace(/\?.*/, '');
      if (!first.has(path)) first.set(path, await forward(asked));
      return first.get(path);
    };
  },
  /** Followers miss an event. */
  gap: () => toldOtherwise(isPoll, (events) => events.filter((_, n) => n !== 1)),
  /** Followers are told the last event of a page twice. */
  repeat: () => toldOtherwise(isPoll, (events) => [...events, ...events.slice(-1)]),
  /** The log has two events the wrong way around. */
  disorder: () => toldOtherwise(isLog, (events) => [...events.slice(0, -2), ...events.slice(-2).reverse()]),
  /** Facts are taken, and thrown away: those whose id ends so, whoever tells them. */
  deaf: () => async (asked, forward) => {
    if (!asked.path.startsWith('/v1/provider_events')) return forward(asked);
    const isUnheard = (/** @type {{ event_id: string }} */ { event_id }) => /[0-2]$/.test(event_id);
    const body = JSON.parse(asked.body);
    const outcome = { outcome: 'applied' };
    if (!body.events) return isUnheard(body) ? { ...problem(202, ''), body: JSON.stringify(outcome) } : forward(asked);
    const heard = body.events.filter((/** @type {{ event_id: string }} */ event) => !isUnheard(event));
    const answered =
      heard.length > 0 ? await forward({ ...asked, body: JSON.stringify({ events: heard }) }) : problem(202, '');
    return { ...answered, body: JSON.stringify({ results: body.events.map(() => outcome) }) };
  },
  /** Settlements of another amount. */
  gross: () => async (asked, forward) => {
    const answered = await forward(asked);
    if (!asked.path.startsWith('/v1/settlements')) return answered;
    return { ...answered, body: answered.body.replace(/"gross":"(\d+)"/g, '"gross":"1$1"') };
  },
  /** What no client may be told. */
  error: () => sometimes(isPosting, async () => problem(500, 'internal')),
  /** Done, and the connection cut before the answer: no lie, and no run may fail for it. */
  cut: () => sometimes(isRepeatable, async (asked, forward) => void (await forward(asked))),
  /** Nothing done: no lie either. */
  busy: () => sometimes(isRepeatable, async () => problem(503, 'overloaded', { 'retry-after': '1' })),
};

/** Those that are none. */
export const TRUE = ['cut', 'busy'];

/** What each scenario is tried with (`npm run k6 -- all --smoke --lies`): it must fail. @type {Record<string, string[]>} */
export const TOLD_TO = {
  smoke: ['error'],
  postings: ['lost', 'twice', 'changed'],
  'hot-account': ['lost'],
  reads: ['stale'],
  stampede: ['keyless'],
  'out-of-order': ['deaf'],
  batch: ['changed', 'twice'],
  'noisy-neighbour': ['lost'],
  night: ['gross'],
  followers: ['gap', 'repeat'],
  soak: ['disorder'],
};

/** Whether what is told is anything but the service's own answer to what was asked. @param {Asked} asked @param {Answered | undefined} told @param {[Asked, Answered][]} heard */
function isLied(asked, told, [only, ...more]) {
  return !only || more.length > 0 || JSON.stringify(only) !== JSON.stringify([asked, told]);
}

/** @param {string} target URL of the service @param {Lie} lie @returns the proxy's URL, on the loopback, how often it lied, and its end */
export async function serveLies(target, lie) {
  let lied = 0;
  /** @type {Forward} */
  const forward = async ({ method, path, headers, body }) => {
    const answer = await fetch(target + path, { method, headers, ...(method !== 'GET' && { body }) });
    const told = Object.fromEntries(
      [...answer.headers].filter(
        ([name]) => !/^(content-(length|encoding)|transfer-encoding|connection|keep-alive)$/.test(name),
      ),
    );
    return { status: answer.status, headers: told, body: await answer.text() };
  };
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray();
    const { method = 'GET', url: path = '/' } = request;
    const headers = Object.fromEntries(
      PASSED.flatMap((name) => (request.headers[name] ? [[name, String(request.headers[name])]] : [])),
    );
    const asked = { method, path, headers, body: Buffer.concat(chunks).toString() };
    /** @type {[Asked, Answered][]} */
    const heard = [];
    const answered = await lie(asked, async (other) => {
      const answer = await forward(other);
      heard.push([other, answer]);
      return answer;
    }).catch(() => undefined);
    if (isLied(asked, answered, heard)) lied += 1;
    if (!answered) return request.socket.resetAndDestroy();
    response.writeHead(answered.status, answered.headers);
    response.end(answered.body);
  });
  server.unref();
  return { url: await listenLocally(server), lied: () => lied, close: () => server.close() };
}
