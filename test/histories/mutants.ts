import type { Policy } from './run.js';

/** Planted bugs, in a copy of the compiled services: `npm run test:histories -- --mutant all` shows that each is caught. */
export interface Mutant {
  readonly name: string;
  readonly changes: readonly Change[];
  /** The policy that it is seen with; either, when it is not given. */
  readonly policy?: Policy;
  /** What the checker finds; stale reads, when it is not given. */
  readonly shows?: 'stale' | 'wrong';
}

interface Change {
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}

const FENCES = 'dist/libs/balances/src/fences.js';
const READER = 'dist/libs/balances/src/read-balance.js';
const LOAD = 'dist/libs/balances/src/load-balances.js';
const LANE = 'dist/libs/ledger/src/writing/lane.js';
const DECIDE = 'dist/libs/ledger/src/posting/decide.js';
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

/** What people do today in the place of our cache; see bench/cache-baselines.ts. */
function baseline(name: string, ...more: Change[]): Mutant {
  const search = "import { BALANCE_CACHE, openBalanceCache } from './balance-cache.js';";
  const replace = `import { BALANCE_CACHE } from './balance-cache.js';
import { openBaseline } from '../../../bench/cache-baselines.js';
const openBalanceCache = openBaseline('${name}');`;
  return { name, changes: [{ file: 'dist/libs/balances/src/balances.module.js', search, replace }, ...more] };
}

export const MUTANTS: readonly Mutant[] = [
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
];
