// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import { ACCOUNT_MUTANTS } from './accounts.mjs';
import { API_MUTANTS } from './api.mjs';
import { BALANCE_MUTANTS } from './balances.mjs';
import { BUDGET_MUTANTS } from './budgets.mjs';
import { CORE_MUTANTS } from './core.mjs';
import { EVENT_MUTANTS } from './events.mjs';
import { LIMIT_MUTANTS } from './limits.mjs';
import { LOG_MUTANTS } from './log.mjs';
import { mutantsOf } from './mutant.mjs';
import { FEE_MUTANTS } from './night-fees.mjs';
import { PAYOUT_MUTANTS } from './night-payouts.mjs';
import { RUN_MUTANTS } from './night-runs.mjs';
import { SETTLEMENT_MUTANTS } from './night-settlement.mjs';
import { OPERATIONS_MUTANTS } from './operations.mjs';
import { OUTBOX_MUTANTS } from './outbox.mjs';
import { PARTITION_MUTANTS } from './partitions.mjs';
import { PAYABLE_MUTANTS } from './payable-items.mjs';
import { PAYMENT_STORE_MUTANTS } from './payment-store.mjs';
import { PAYMENT_MUTANTS } from './payments.mjs';
import { RECONCILIATION_MUTANTS } from './reconciliation.mjs';
import { STRANGER_MUTANTS } from './strangers.mjs';
import { TRACE_MUTANTS } from './traces.mjs';
import { WEBHOOK_MUTANTS } from './webhooks.mjs';

/** @typedef {import('./mutant.mjs').Mutant} Mutant */

const EXAMPLES = 'libs/ledger/src/posting/decide.spec.ts';
const CHANGES = 'libs/ledger/src/posting/decide-changes.spec.ts';
const PROPERTIES = 'libs/ledger/src/posting/decide.property.spec.ts';
const BOTH = [EXAMPLES, PROPERTIES];

const decide = mutantsOf('libs/ledger/src/posting/decide.ts', BOTH);
const parts = mutantsOf('libs/ledger/src/posting/parts.ts', BOTH);
const entries = mutantsOf('libs/ledger/src/posting/entries.ts', BOTH);
const group = mutantsOf('libs/ledger/src/writing/group.ts', ['libs/ledger/src/writing/group.spec.ts']);
const draft = mutantsOf('libs/ledger/src/writing/group-draft.ts', ['libs/ledger/src/writing/group.spec.ts']);
const late = mutantsOf('libs/ledger/src/accounts/back-dated-adjustments.ts', [
  'libs/ledger/src/accounts/back-dated-adjustments.spec.ts',
]);
const snowflake = mutantsOf('libs/kernel/src/snowflake.ts', ['libs/kernel/src/snowflake.spec.ts']);
const deadline = mutantsOf('libs/platform/src/deadline.ts', ['libs/platform/src/deadline.spec.ts']);
const binaryArray = mutantsOf('libs/platform/src/binary-array.ts', ['libs/platform/src/binary-array.spec.ts']);

const FAULTS = 'test/faults.test.ts';
const CONCURRENCY = 'test/concurrency.test.ts';
const PLANS = 'test/balance-at.test.ts';
const writer = mutantsOf('libs/ledger/src/writing/lane.ts', [FAULTS]);
const groupStore = mutantsOf('libs/ledger/src/writing/group-store.ts', [FAULTS]);
const migration = mutantsOf('db/migrations/1763740000000-ledger.ts', ['test/refusals.test.ts']);

/** Planted bugs: a spec that stays green beside its own proves nothing about it. @type {Mutant[]} */
export const MUTANTS = [
  entries(
    'a floor lies one lower',
    'available >= account.minAvailable ||',
    'available >= account.minAvailable - 1n ||',
  ),
  entries(
    'the newest transaction is forgotten',
    'lastTransactionId: id,',
    'lastTransactionId: before.lastTransactionId,',
  ),
  entries(
    'entries of one account do not see each other',
    'balances.get(entry.accountId) ?? book.balance(entry.accountId)',
    'book.balance(entry.accountId)',
  ),
  entries('only debits may be too many', 'if (sum !== 0n) {', 'if (sum > 0n) {', [EXAMPLES]),
  entries(
    'currencies are summed together',
    'sums.set(entry.currency, (sums.get(entry.currency)',
    "sums.set('EUR', (sums.get('EUR')",
    [EXAMPLES],
  ),
  entries(
    'a condition on the version looks at it afterwards',
    'conditions.version !== before.version',
    'conditions.version !== after.version',
  ),
  decide('final is ignored', '(command.final ? 0n : amount - ', '(command.parentId < 0n ? 0n : amount - '),
  decide('every capture is final', '(command.final ? 0n : amount - ', '(command.kind ? 0n : amount - '),
  parts(
    'parts are bounded by the whole, not by what is left',
    'const most = left[0] ?? 0n;',
    'const most = transaction.amount;',
  ),
  parts('parts need not balance', 'return unbalanced ?? taken;', 'return taken;', [CHANGES, PROPERTIES]),
  decide(
    'a final capture releases only its amount',
    'pending: (left[place] ?? 0n) - (state.left[place] ?? 0n),',
    'pending: -(taken[place] ?? 0n),',
  ),
  decide(
    'a capture posts and still holds',
    'pending: (left[place] ?? 0n) - (state.left[place] ?? 0n),',
    'pending: 0n,',
  ),
  decide('a void releases what is captured', 'pending: -(state.left[place] ?? 0n),', 'pending: -entry.pending,'),
  decide(
    'reversals do not add up',
    'const left = state.left.map((amount, place) => amount - (taken[place] ?? 0n));',
    'const left = initialState(transaction).left.map((amount, place) => amount - (taken[place] ?? 0n));',
    [CHANGES, PROPERTIES],
  ),
  decide('a reversal repeats', 'direction: otherSide(entry.direction),', 'direction: entry.direction,'),
  decide('only the nearest gets back', '    child = transaction;', '    break;', [CHANGES, PROPERTIES]),
  decide(
    'a change is dated like its parent',
    'Math.max(snowflakeTimeMs(change.id), parent.effectiveAtMs)',
    'parent.effectiveAtMs',
    [CHANGES],
  ),
  decide(
    'a change may precede its parent',
    'Math.max(snowflakeTimeMs(change.id), parent.effectiveAtMs)',
    'snowflakeTimeMs(change.id)',
    [CHANGES],
  ),

  draft(
    'an atomic batch is not undone',
    'this.#journal.set(balances, accountId, balance);',
    'balances.set(accountId, balance);',
  ),
  draft(
    'an atomic batch leaves holds moved',
    'this.#journal.set(this.#rowsOf(merchantId).states, state.transactionId, state.value);',
    'this.#rowsOf(merchantId).states.set(state.transactionId, state.value);',
  ),
  group(
    'a batch does not say where it failed',
    'errors: [{ path, message: refused.detail }, ...inner]',
    'errors: inner',
  ),
  group(
    'a key fits any request',
    'requestSha256.equals(stored.requestSha256)) return',
    'requestSha256.equals(submission.idempotency.requestSha256)) return',
  ),
  draft('a key is looked up without its merchant', 'return `${merchantId}:${key}`;', 'return key;'),
  group('rows are locked in the order of their digits', 'return a < b ? -1', 'return String(a) < String(b) ? -1'),
  draft('ids do not pass those of other processes', 'ids.next(newestTransactionOf(entries, book))', 'ids.next()'),
  draft('merchants share one book', 'entryOf(this.#merchants, merchantId,', 'entryOf(this.#merchants, 0n,'),
  late(
    'what happens in the future counts from the start',
    'effectiveAtMs === createdAtMs',
    'effectiveAtMs >= createdAtMs',
  ),
  late('the top level is missing', 'level < LEVELS;', 'level < LEVELS - 1;'),
  late('nodes are twice as wide', 'BigInt(LEVEL_BITS * level);', 'BigInt(LEVEL_BITS * level + 1);'),
  late('the query sees nothing before 1970', 'WHEN ${LEVELS - 1} THEN', 'WHEN ${LEVELS} THEN', [
    'test/back-dated-adjustments.test.ts',
  ]),
  late('accounts share nodes', '`${accountId}:${level}:${bucket}`', '`${level}:${bucket}`'),
  snowflake(
    'ids follow the clock back',
    'Math.max(wallMs, issuableFromMs, floorMs)',
    'Math.max(wallMs, issuableFromMs)',
  ),
  snowflake(
    'a worker id is inherited with its past',
    'Math.max(wallMs, issuableFromMs, floorMs)',
    'Math.max(wallMs, floorMs)',
  ),
  snowflake('a refusal spoils the next id', 'let sequence = 0;', 'let sequence = 0; this.#lastMs = timeMs;'),

  deadline('a timer drops the fraction', 'Math.ceil(this.remainingMs)', 'this.remainingMs'),
  binaryArray('text is measured in characters', 'Buffer.byteLength(value)', 'value.length'),
  binaryArray('nulls are not announced', 'hasNull ? 1 : 0', '0'),

  writer(
    'an ambiguous COMMIT counts as failed',
    "if (!(await this.#step(spans, 'settle', () => this.#settle(token)))) throw",
    'throw',
  ),
  writer(
    'an ambiguous COMMIT counts as done',
    "if (!(await this.#step(spans, 'settle', () => this.#settle(token)))) throw new GroupVoided(error);",
    '',
  ),
  writer('an unsettled group is tried again', 'throw new Unsettled(error);', 'throw error;'),
  writer('poison takes its group along', 'if (alive.length > 1 &&', 'if (false &&', [CONCURRENCY]),
  writer(
    'requests that are late behind a lock are written',
    'const inTime = here.filter((waiting) => !rejectedAsLate(waiting));',
    'const inTime = here;',
    [CONCURRENCY],
  ),
  writer('a lost race for a key is final', "['23505', '55P03', '57014']", "['55P03', '57014']", [CONCURRENCY]),
  groupStore("the asker's own token counts as the group's", 'return !rows[0].voided;', 'return true;'),
  groupStore(
    'the token is looked for, not taken',
    'VALUES ($1, true) ON CONFLICT',
    'SELECT $1, true WHERE false ON CONFLICT',
  ),
  groupStore(
    'balances are read without a lock',
    "selectBalances('b.*', 'FOR NO KEY UPDATE')",
    "selectBalances('b.*', 'LIMIT 1')",
    [CONCURRENCY],
  ),
  mutantsOf('libs/platform/src/postgres.ts', [FAULTS])(
    'deadlocks are final',
    "new Set(['40001', '40P01'])",
    "new Set(['40001'])",
  ),
  mutantsOf('libs/ledger/src/accounts/back-dated-adjustments.ts', [PLANS])(
    'the planner may read every back-dated adjustment of an account',
    `SELECT sum(posted_debits) AS posted_debits, sum(posted_credits) AS posted_credits,
           sum(pending_debits) AS pending_debits, sum(pending_credits) AS pending_credits,
           max(newest_version) AS newest_version
      FROM late_sums`,
    'SELECT * FROM late_sums',
  ),
  migration(
    'the newest transaction of a balance is not checked',
    'OR n.last_transaction_id <> coalesce(e.transaction_id, 0)',
    '',
  ),
  ...ACCOUNT_MUTANTS,
  ...CORE_MUTANTS,
  ...API_MUTANTS,
  ...OPERATIONS_MUTANTS,
  ...OUTBOX_MUTANTS,
  ...PARTITION_MUTANTS,
  ...EVENT_MUTANTS,
  ...LIMIT_MUTANTS,
  ...BALANCE_MUTANTS,
  ...BUDGET_MUTANTS,
  ...TRACE_MUTANTS,
  ...WEBHOOK_MUTANTS,
  ...PAYMENT_MUTANTS,
  ...PAYMENT_STORE_MUTANTS,
  ...PAYABLE_MUTANTS,
  ...FEE_MUTANTS,
  ...RUN_MUTANTS,
  ...SETTLEMENT_MUTANTS,
  ...PAYOUT_MUTANTS,
  ...RECONCILIATION_MUTANTS,
  ...STRANGER_MUTANTS,
  ...LOG_MUTANTS,
];
