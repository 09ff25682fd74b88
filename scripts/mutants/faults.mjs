// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

/** @typedef {{ file: string, search: string, replace: string }} Change */
/**
 * A bug that shows only where real processes and servers fail, planted in a copy of the compiled services: `npm run test:faults --
 * --mutant all` shows that each is caught.
 *
 * @typedef {object} FaultMutant
 * @property {string} name
 * @property {readonly Change[]} changes
 * @property {'available' | 'strict'} [policy] that it is seen with; `available`, when it is not given
 * @property {'stale' | 'wrong' | 'offences'} [shows] what the judge finds; stale reads, when it is not given
 */

const FENCES = 'dist/libs/balances/src/fences.js';
const READER = 'dist/libs/balances/src/read-balance.js';
const LOAD = 'dist/libs/balances/src/load-balances.js';
const LANE = 'dist/libs/ledger/src/writing/lane.js';
const DECIDE = 'dist/libs/ledger/src/posting/decide.js';
const SHUTDOWN = 'dist/apps/api/src/shutdown.js';
const LUA = 'libs/balances/src/lua';

const NO_FENCE = {
  file: FENCES,
  search: 'const confirmed = await this.#confirmed(fences, span, deadlineMs);',
  replace: 'const confirmed = fences.length >= 0;',
};
const READERS_INVALIDATE_NOTHING = {
  file: READER,
  search: "if (known === '' || balance.version > BigInt(known)) {",
  replace: 'if (false) {',
};
const FILL =
  'local installs = own and tokens == 0 and not (hash.ver and newer(hash.ver, version)) and granted + ttl > now';
const FILL_DEADLINE = { file: `${LUA}/fill.lua`, search: 'granted + ttl)', replace: 'now + ttl)' };
const PUBLISH = 'local installs = fenced_at ~= nil and fenced_at + ttl > now and newest';

/** What people do today in the place of our cache; see bench/cache-baselines.ts. @param {string} name @param {Change[]} more @returns {FaultMutant} */
function baseline(name, ...more) {
  const search = "import { BALANCE_CACHE, openBalanceCache } from './balance-cache.js';";
  const replace = `import { BALANCE_CACHE } from './balance-cache.js';
import { openBaseline } from '../../../bench/cache-baselines.js';
const openBalanceCache = openBaseline('${name}');`;
  return { name, changes: [{ file: 'dist/libs/balances/src/balances.module.js', search, replace }, ...more] };
}

const SETTLE = "if (!(await this.#step(spans, 'settle', () => this.#settle(token)))) throw new GroupVoided(error);";
const KEYS_UNSEEN = [
  {
    file: 'dist/libs/ledger/src/writing/group-store.js',
    search: 'FROM idempotency_keys WHERE merchant_id = k.merchant_id AND key = k.key LIMIT 1) AS i`',
    replace: 'FROM idempotency_keys WHERE merchant_id = k.merchant_id AND key = k.key AND false LIMIT 1) AS i`',
  },
  {
    file: 'dist/libs/ledger/src/writing/group-store.js',
    search: 'AS i (merchant_id, key, request_sha256, status, transaction_id, response)\n), fenced AS (',
    replace:
      'AS i (merchant_id, key, request_sha256, status, transaction_id, response) ON CONFLICT DO NOTHING\n), fenced AS (',
  },
];

/** @type {FaultMutant[]} */
export const FAULT_MUTANTS = [
  {
    // The writer never finds a key again, and stores it once.
    name: 'effect-twice-on-retry',
    shows: 'wrong',
    changes: KEYS_UNSEEN,
  },
  {
    // Neither the group's token nor the key is asked whether the lost COMMIT was one.
    name: 'key-not-checked-after-ambiguous-commit',
    shows: 'wrong',
    changes: [{ file: LANE, search: SETTLE, replace: 'throw new GroupVoided(error);' }, ...KEYS_UNSEEN],
  },
  {
    name: 'ambiguous-commit-taken-for-done',
    shows: 'wrong',
    changes: [{ file: LANE, search: SETTLE, replace: 'void token;' }],
  },
  {
    // The consumer's position is committed before its effect.
    name: 'event-skipped-on-crash',
    shows: 'offences',
    changes: [
      {
        file: 'dist/libs/outbox/src/consumers/batch-applier.js',
        search: 'if (due.length > 0) await call.apply(consumer, span.clientOf(client), due);',
        replace: `if (due.length > 0) {
          await client.query('COMMIT');
          await client.query('BEGIN');
          await client.query(enterScope({ merchantIds: [...new Set(due.map((event) => event.merchantId))] }, deadline));
          await call.apply(consumer, span.clientOf(client), due);
        }`,
      },
    ],
  },
  {
    // What commits late, below what is already told, is passed over.
    name: 'log-without-a-horizon',
    shows: 'offences',
    changes: [
      {
        file: 'dist/libs/outbox/src/log/event-log.js',
        search: "LOG_HORIZON = '(SELECT log_horizon())'",
        replace: "LOG_HORIZON = '(SELECT pg_snapshot_xmax(pg_current_snapshot()))'",
      },
    ],
  },
  {
    // Each try is an instruction of its own.
    name: 'payout-sent-twice',
    shows: 'offences',
    changes: [
      {
        file: 'dist/libs/payouts/src/bank-client.js',
        search: "const answer = await this.#exchange('PUT', key, { body, within });",
        replace: `const answer = (await this.#exchange('PUT', key, { body, within })) ?? (await this.#exchange('PUT', key + '0', { body, within }));`,
      },
    ],
  },
  {
    // It is cut where it would be finished.
    name: 'sigterm-cuts-what-is-in-hand',
    shows: 'offences',
    changes: [
      {
        file: SHUTDOWN,
        search: 'while (performance.now() < lingerEndMs && (this.#inHand > 0 || (await connectionsOf(server)) > 0))',
        replace: 'while (false)',
      },
      { file: SHUTDOWN, search: 'while (performance.now() < endMs && this.#inHand > 0)', replace: 'while (false)' },
    ],
  },
  {
    // Whoever has not noticed yet is refused.
    name: 'sigterm-refuses-at-once',
    shows: 'offences',
    changes: [
      {
        file: SHUTDOWN,
        search: 'await sleep(Math.min(options.delayMs, options.graceMs));',
        replace: 'await sleep(0);',
      },
    ],
  },
  {
    // A late publish brings back what was newest when its group committed.
    name: 'published-without-a-fence',
    changes: [{ file: `${LUA}/publish.lua`, search: PUBLISH, replace: 'fenced_at = now\nlocal installs = newest' }],
  },
  {
    name: 'nothing-published',
    changes: [
      NO_FENCE,
      { file: FENCES, search: 'await this.#publish(distinct, { token, span }, values);', replace: 'void values;' },
    ],
  },
  baseline('delete-after-commit'),
  // Its lock is taken before the balances are read.
  baseline('lock-with-ttl', {
    file: LANE,
    search: 'const fence = this.#parts.fences.fence(accounts, token, this.#options.groupTimeoutMs, spans.leader);',
    replace:
      'const fence = this.#parts.fences.fence(accounts, token, this.#options.groupTimeoutMs, spans.leader);\nawait fence;',
  }),
  {
    name: 'set-if-newer',
    changes: [
      NO_FENCE,
      READERS_INVALIDATE_NOTHING,
      { file: `${LUA}/publish.lua`, search: PUBLISH, replace: 'fenced_at = now\nlocal installs = newest' },
      {
        file: `${LUA}/fill.lua`,
        search: FILL,
        replace: 'local installs = not (hash.ver and newer(hash.ver, version))',
      },
      FILL_DEADLINE,
    ],
  },
  {
    // As if fees were posted by SQL of the settlement's own: neither fenced nor told of in the log, by which caches are invalidated, too.
    name: 'settlement-unfenced',
    changes: [
      {
        file: LANE,
        search: 'const fence = this.#parts.fences.fence(accounts, token, this.#options.groupTimeoutMs, spans.leader);',
        replace: `const settles = group.some(({ submission }) => submission.commands.some(({ extension }) => extension?.name === 'settlement'));
const none = { confirmed: true, publish: async () => {}, abandon: async () => {}, leave: () => {} };
const fence = settles ? Promise.resolve(none) : this.#parts.fences.fence(accounts, token, this.#options.groupTimeoutMs, spans.leader);`,
      },
      {
        file: 'dist/libs/ledger/src/writing/group-draft.js',
        search: 'this.#tell(submission, transactionEvent(transaction));',
        replace: "if (transaction.type !== 'settlement.fees') this.#tell(submission, transactionEvent(transaction));",
      },
    ],
  },
  {
    name: 'strict-does-not-wait',
    policy: 'strict',
    changes: [
      {
        file: 'dist/libs/balances/src/pending-invalidations.js',
        search: "this.#policy === 'available' ||",
        replace: 'true ||',
      },
    ],
  },
  {
    name: 'strict-readers-do-not-wait',
    policy: 'strict',
    changes: [{ file: READER, search: 'await deadline.race(this.#pending.outlive(account, version));', replace: '' }],
  },
  {
    // Loses one group in a hundred.
    name: 'acknowledged-without-commit',
    shows: 'wrong',
    changes: [
      {
        file: LANE,
        search: 'connection.writeAndCommit(writes), groupTimedOut',
        replace: 'Math.random() < 0.01 ? connection.rollback() : connection.writeAndCommit(writes), groupTimedOut',
      },
    ],
  },
  {
    name: 'pending-swapped',
    shows: 'wrong',
    changes: [
      { file: LOAD, search: 'pendingDebits: balance.pendingDebits', replace: 'pendingDebits: balance.pendingCredits' },
      {
        file: LOAD,
        search: 'pendingCredits: balance.pendingCredits',
        replace: 'pendingCredits: balance.pendingDebits',
      },
    ],
  },
  {
    // Posts what is captured, and holds it for ever.
    name: 'capture-forgets-to-release',
    shows: 'wrong',
    changes: [
      { file: DECIDE, search: 'pending: (left[place] ?? 0n) - (state.left[place] ?? 0n)', replace: 'pending: 0n' },
    ],
  },
  {
    name: 'reversal-takes-all',
    shows: 'wrong',
    changes: [
      {
        file: DECIDE,
        search: "const taken = takenOf(book, transaction, state.left, { ...command, verb: 'reversed' });",
        replace: 'const taken = state.left;',
      },
    ],
  },
  {
    name: 'nothing-expires',
    shows: 'wrong',
    changes: [
      {
        file: 'dist/libs/platform/src/due-rows.js',
        search: 'WHERE r.try_at <= now())',
        replace: "WHERE r.try_at <= now() - interval '1 day')",
      },
    ],
  },
  {
    // Connections that end say nothing about the event; enough of them in a row make it a dead letter.
    name: 'lost-connections-count',
    shows: 'offences',
    changes: [
      {
        file: 'dist/libs/outbox/src/consumers/handler-call.js',
        search: 'if (isConnectionLoss(error) || isRetriable(error))',
        replace: 'if (isRetriable(error))',
      },
      {
        file: 'dist/libs/kernel/src/problem.js',
        search: "new Set(['database_unavailable', 'overloaded',",
        replace: "new Set(['overloaded',",
      },
    ],
  },
  {
    // Works until the queue's Redis dies for the first time.
    name: 'no-way-back-to-the-queue',
    shows: 'offences',
    changes: [
      {
        file: 'dist/libs/platform/src/queues.js',
        search: 'maxRetriesPerRequest: null',
        replace: 'maxRetriesPerRequest: null, retryStrategy: () => null',
      },
    ],
  },
  {
    // Every check of the books is content: the hold is there, and stays.
    name: 'a-void-keeps-half-of-what-it-held',
    shows: 'offences',
    changes: [
      {
        file: 'dist/libs/ledger/src/posting/decide.js',
        search: 'pending: -(state.left[place] ?? 0n)',
        replace: 'pending: -((state.left[place] ?? 0n) + 1n) / 2n',
      },
    ],
  },
  {
    name: 'the-cache-swaps-what-is-pending',
    shows: 'offences',
    changes: [
      {
        file: 'dist/libs/balances/src/cached-balance.js',
        search: '${postedCredits} ${pendingDebits} ${pendingCredits} ${asOfMs}',
        replace: '${postedCredits} ${pendingCredits} ${pendingDebits} ${asOfMs}',
      },
    ],
  },
];
