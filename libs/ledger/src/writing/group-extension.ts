import type { ToldEvent } from '#outbox/log/append.js';
import type { Idempotency } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Account, Balance } from '../accounts/account.js';
import type { Adjust, Command, Decision, Refused } from '../posting/command.js';
import type { Transaction } from '../posting/transaction.js';

/** What the writer is asked and what it answers: postings, and whatever commits with them. */

/**
 * The commands of one request, with everything about them that never changes already resolved. Groups are traced as children of
 * its span, and events carry it.
 */
export interface Submission extends Omit<RequestContext, 'cost'> {
  /** `single` and `atomic`: all or nothing; `independent`: each for itself. One idempotency key for the whole request. */
  mode: 'single' | 'atomic' | 'independent';
  commands: readonly SubmittedCommand[];
  idempotency: Idempotency | undefined;
  /** Every account that the commands touch, the parents' included. */
  accounts: ReadonlyMap<bigint, Account>;
  /** The transactions that the commands refer to. */
  parents: ReadonlyMap<bigint, Transaction>;
}

/** Of a batch, an item that could not be read is refused already: it keeps its place, and the others are decided. */
export type SubmittedCommand = Exclude<Command, Adjust> | Extended | Refused;

/** Decisions in the order of the commands, or what an earlier request with the key was told. */
export type Outcome =
  | { kind: 'decided'; decisions: readonly (Decision | Answered)[] }
  | { kind: 'replayed'; status: number; transactionId: bigint | null; response: string | null }
  | { kind: 'key_reused'; refused: Refused };

/**
 * How a room above the ledger commits rows of its own with a posting: both or neither, whatever crashes.
 *
 * A command of a submission names its extension (`extended`), so that any number of rooms can have one and a group without such
 * a command sends nothing more than it would without extensions. In a group that has some, an extension
 * 1. *looks up*: one more statement in the first round trip, behind the locks of all merchants of the group;
 * 2. *decides*, command by command and in their order: from what it looked up, what earlier commands of the group made of that,
 *    and its own part of the submission; may post, write rows, emit events, or refuse;
 * 3. *writes*: one more statement in the second round trip, after the ledger's own rows and before COMMIT. It is not sent when there
 *    are no rows.
 *
 * What it looked up stays true until COMMIT if everybody who changes those rows of a merchant does it behind the merchant's lock
 * (`lock_merchants`, as every group; see `#outbox/log/append.js`). It locks no rows of its own: merchants in sorted order keep groups
 * from deadlocks. Its tables lead with `merchant_id` and have row-level security, and its plans may use indexes and nested loops alone
 * (see ENTER_GROUP in group-store.ts).
 *
 * A refusal undoes what its command did; a throw what its whole submission did, whose caller gets the error, and the others of the
 * group commit. A statement that fails fails the group, which is then tried one by one.
 *
 * @typeParam Part what a submission asks, Known what is known under a key of a merchant, Row what `write` takes.
 */
export interface GroupExtension<Part = unknown, Known = unknown, Row = unknown> {
  /** For messages. */
  readonly name: string;
  readonly lookUp?: LookUp<Part, Known>;
  /** Pure, but for what it does through `turn`. */
  decide(part: Part, turn: GroupTurn<Known, Row>): Answer | Refused;
  readonly write?: GroupStatement<Row>;
}

/** `text` is prepared once for each connection. */
export interface GroupStatement<Item> {
  readonly text: string;
  values(items: readonly Item[]): SqlValue[];
}

export interface LookUp<Part, Known> extends GroupStatement<{ merchantId: bigint; part: Part }> {
  /** What a row tells. */
  known(row: Record<string, unknown>): { merchantId: bigint; key: string; value: Known };
}

/** None of them can fail to be sent: a statement that was left out would let the others commit without it. */
export type SqlValue = Buffer | bigint | string | number | boolean | null;

/** What a submission's caller is told, and whoever repeats it with its key. `response` is JSON text. */
export interface Answer {
  status: number;
  response: string;
}

/** What a command of an extension may see and do, of its own merchant. */
export interface GroupTurn<Known = unknown, Row = unknown> {
  readonly merchantId: bigint;
  /** What was looked up under the key, or what an earlier command of the group made of it. */
  known(key: string): Known | undefined;
  learn(key: string, value: Known): void;
  /** Of the accounts that the submission names. */
  balance(accountId: bigint): Balance | undefined;
  /** Posts to accounts that the submission names. Carried out at once, when it is accepted; a refusal is the caller's to judge. */
  post(command: Command): Decision;
  /** All of a balance that changes without an entry. */
  setClosed(accountId: bigint, closed: boolean): void;
  write(row: Row): void;
  emit(event: ToldEvent): void;
  /** When a subject is due; undefined: not any more. Its due row (ADR 20) commits with the group. */
  setTimer(kind: string, subjectId: bigint, dueAtMs: number | undefined): void;
  /** W3C traceparent of the submission, where it is sampled: what is written can keep it. */
  readonly traceContext: string | undefined;
  /** The submission's span links to those of earlier ones that it goes on with. */
  linkTo(traceContexts: Iterable<string>): void;
  /** An id of this moment and above `id`. */
  nextId(above?: bigint): bigint;
}

/** A command whose meaning is its extension's. */
export interface Extended {
  kind: 'extended';
  extension: GroupExtension;
  part: unknown;
}

export function extended<Part, Known, Row>(extension: GroupExtension<Part, Known, Row>, part: Part): Extended {
  return { kind: 'extended', extension: extension as GroupExtension, part };
}

/** An extension's command that was carried out. */
export interface Answered extends Answer {
  accepted: true;
  /** What it posted. */
  transactionIds: readonly bigint[];
}
