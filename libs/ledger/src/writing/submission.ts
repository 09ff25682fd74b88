import type { Span } from '@opentelemetry/api';
import type { ProblemCode } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';
import type { Idempotency } from '#platform/idempotency.js';
import type { Account } from '../accounts/account.js';
import type { Command, Decision, Refused } from '../posting/command.js';
import type { Transaction } from '../posting/transaction.js';
import type { Answered, Extended } from './group-extension.js';

/** An item of a batch that could not be read: it keeps its place, and the others are decided. */
export interface Malformed {
  kind: 'malformed';
  refused: Refused;
}

export type SubmittedCommand = Command | Extended | Malformed;

/** The commands of one request, with everything about them that never changes already resolved. */
export interface Submission {
  merchantId: bigint;
  /** `single` and `atomic`: all or nothing; `independent`: each for itself. One idempotency key for the whole request. */
  mode: 'single' | 'atomic' | 'independent';
  commands: readonly SubmittedCommand[];
  idempotency: Idempotency | undefined;
  /** Every account that the commands touch, the parents' included. */
  accounts: ReadonlyMap<bigint, Account>;
  /** The transactions that the commands refer to. */
  parents: ReadonlyMap<bigint, Transaction>;
  deadline: Deadline;
  /** The request's span: groups are traced as its children, events carry it. */
  span: Span;
}

/** What a refusal says to the client; kept with the idempotency key. */
export interface Refusal {
  code: ProblemCode;
  detail: string;
  errors?: { path: string; message: string }[];
  trace_id?: string;
}

/** What the writer answers: decisions in the order of the commands, or what an earlier request with the key was told. */
export type Outcome =
  | { kind: 'decided'; decisions: readonly (Decision | Answered)[] }
  | { kind: 'replayed'; status: number; transactionId: bigint | null; response: string | null }
  | { kind: 'key_reused' };
