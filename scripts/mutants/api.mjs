// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

/**
 * Planted bugs of the REST contract, each of which a test from outside must notice.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const API_MUTANTS = [
  inFile('libs/platform/src/cursor.ts', 'test/lists.test.ts', [
    ['cursors are not bound to the tenant', '[String(tenant), route, given]', '[route, given]'],
    ['cursors are not bound to the filters', '[String(tenant), route, given]', '[String(tenant), route]'],
  ]),
  inFile('apps/api/src/pages.ts', 'test/lists.test.ts', [
    ['a page begins where the last one ended', ': list.position(last));', ': list.position(last) + 1n);'],
  ]),
  inFile('apps/api/src/page-read.ts', 'test/lists.test.ts', [
    ['a list never has more', 'return { texts, last, hasMore: true };', 'return { texts, last, hasMore: false };'],
    ['a page is one row too long', 'texts.length === page.limit ||', 'texts.length > page.limit ||'],
  ]),
  inFile('apps/api/src/page-read.ts', 'apps/api/src/page-read.spec.ts', [
    ['a page is written in one go', 'if (turn.isOver) await turn.next();', ''],
  ]),
  inFile('apps/api/src/json-text.ts', 'apps/api/src/json-text.spec.ts', [
    ['a long answer is put together in one go', 'if (turn.isOver) await turn.next();', ''],
  ]),
  inFile('libs/ledger/src/reading/transaction-list.ts', 'test/lists.test.ts', [
    ['from is exclusive', 't.effective_at >= ${', 't.effective_at > ${'],
    ['to is inclusive', 't.effective_at < ${', 't.effective_at <= ${'],
  ]),
  inFile('apps/api/src/transactions/schemas.ts', 'test/lists.test.ts', [
    ['a summary has its amount as a number', 'String(summary.amount)', 'Number(summary.amount)'],
  ]),
  inFile('apps/api/src/transactions/schemas.ts', 'test/contract.test.ts', [
    ['created_at is when it was asked for', 'isoTime(snowflakeTimeMs(transaction.id))', 'isoTime(Date.now())'],
  ]),
  inFile('apps/api/src/idempotency.ts', 'test/replays.test.ts', [
    ['key order makes another request', 'Object.keys(record) .sort()', 'Object.keys(record)'],
    ['the path does not matter', "${request.method} ${request.url.split('?', 1)[0]}\\n", ''],
  ]),
  inFile('libs/ledger/src/posting/posting.ts', 'test/replays.test.ts', [
    ['a replay is not marked', 'return { result, replayed: true };', 'return { result, replayed: false };'],
    [
      'a replay of a hold tells the status of a posting',
      'return { posting: { transaction, state: initialState(transaction), accounts } };',
      "return { posting: { transaction, state: initialState({ ...transaction, kind: 'posted' }), accounts } };",
    ],
  ]),
  inFile('apps/api/src/json-reader.ts', 'test/bad-bytes.test.ts', [
    ['nesting has no limit', 'if (this.#open.length >= MAX_DEPTH)', 'if (false)'],
  ]),
  inFile('apps/api/src/json-reader.ts', 'test/bad-input.test.ts', [
    ['__proto__ is a name like others', "if (key === '__proto__')", 'if (false)'],
    ['1e3 is 1000', 'return Number.NaN;', 'return Number(this.#text.slice(this.#at - 3, this.#at));'],
    ['NUL characters get through', "if (text.includes('\\0'))", 'if (false)'],
  ]),
  inFile('apps/api/src/problems.ts', 'test/problems.test.ts', [
    ['nobody is told when to retry', 'if (answer.retryAfterS !== undefined)', 'if (false)'],
  ]),
  inFile('apps/api/src/problems.ts', 'test/bad-bytes.test.ts', [
    ['a refused body is taken to its end', 'if (hasMoreToCome(request, answer))', 'if (false)'],
  ]),
  inFile('apps/api/src/schemas.ts', 'test/bad-input.test.ts', [
    ['numbers of metadata lose digits', 'z.int(), z.boolean()', 'z.number(), z.boolean()'],
  ]),
  inFile('apps/api/src/lifecycle.ts', 'test/isolation.test.ts', [
    ['a merchant may act for another', 'if (caller.merchantId !== merchantId) throw', 'if (false) throw'],
  ]),
  inFile('libs/ledger/src/reading/transaction.queries.ts', 'test/isolation.test.ts', [
    ['a list by a foreign account is empty instead of unknown', "if (!account) throw notFound('account');", ''],
  ]),
  inFile('libs/tenancy/src/authenticator.ts', 'test/isolation.test.ts', [
    ['keys are trusted for an hour', 'Math.max(1, options.cacheMs)', '3_600_000'],
  ]),
  inFile('apps/api/src/lifecycle.ts', 'test/secrets.test.ts', [
    ['a span tells a path as it came, keys in it included', 'path: () => toldPath(url, route)', 'path: () => url'],
  ]),
  inFile('libs/platform/src/recorded-span.ts', 'libs/platform/src/span-recorder.spec.ts', [
    [
      'what nobody is sent is put together all the same',
      'this.#given = attributes;',
      "this.#given = typeof attributes === 'function' ? attributes() : attributes;",
    ],
  ]),
  inFile('libs/platform/src/span-recorder.ts', 'libs/platform/src/span-recorder.spec.ts', [
    ['each process samples other traces', ' >= this.#sampledFrom', ' <= 2 ** 32 - this.#sampledFrom'],
    ['a trace in which something failed is dropped', '!this.#hasFailed && !isSlow', '!isSlow'],
  ]),
  inFile('libs/tenancy/src/api-key.commands.ts', 'test/isolation.test.ts', [
    ['the revoking process goes on trusting', 'this.authenticator.forget(merchantId);', ''],
  ]),
  inFile('apps/api/src/shutdown.ts', 'apps/api/src/shutdown.spec.ts', [
    ['a process that slept cuts requests that it has not read', 'await nextTurn();\n    await nextTurn();', ''],
    [
      'of many who wait to be accepted the first alone are',
      'for (let before = -1; before < accepted && accepted < BACKLOG && performance.now() < endMs; ) {',
      'for (let before = -1; before < 0; ) {',
    ],
    [
      'those who wait are accepted for as long as others come',
      'Math.min(endMs, performance.now() + ACCEPT_MS)',
      'endMs',
    ],
    [
      'whoever has not seen /readyz yet is refused',
      'await sleep(Math.min(options.delayMs, options.graceMs));',
      'await sleep(0);',
    ],
  ]),
].flat();
