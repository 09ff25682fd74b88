import { PROBLEMS } from '#kernel/problem.js';
import { type SnowflakeGenerator, SnowflakeRefused } from '#kernel/snowflake.js';
import type { Idempotency } from '#platform/idempotency.js';
import { traceIdOf } from '#platform/tracing.js';
import type { Pieces } from '#platform/turns.js';
import type { Decision, Refused } from '../posting/command.js';
import { refuse } from '../posting/entries.js';
import { GroupDraft, touchedEntries } from './group-draft.js';
import type { Answered, GroupExtension, Outcome, Submission, SubmittedCommand } from './group-extension.js';
import type { GroupWrites, StoredKey } from './group-parameters.js';
import type { LockedRows, TenantId } from './group-store.js';

/**
 * What one commit group decides, in memory: rows locked in, rows to write out. Command by command; a refusal touches nobody
 * else's. Has no database and no clock of its own.
 */

/** Refusals that do not burn an idempotency key: the same request may succeed once the client or the book has changed. */
const NOT_STORED = new Set(['validation_failed', 'forbidden', 'not_found']);

/** The rows that a group has to lock and look up, in the one order that every group uses. */
export function touchedBy(submissions: readonly Submission[]): {
  merchantIds: bigint[];
  accounts: TenantId[];
  parents: TenantId[];
  keys: { merchantId: bigint; key: string }[];
  parts: Map<GroupExtension, { merchantId: bigint; part: unknown }[]>;
} {
  const parts = new Map<GroupExtension, { merchantId: bigint; part: unknown }[]>();
  const accounts = new Map<bigint, Set<bigint>>();
  const parents = new Map<bigint, Set<bigint>>();
  const keys: { merchantId: bigint; key: string }[] = [];
  for (const { merchantId, idempotency, ...submission } of submissions) {
    addAll(accounts, merchantId, submission.accounts.keys());
    addAll(parents, merchantId, submission.parents.keys());
    if (idempotency) keys.push({ merchantId, key: idempotency.key });
    for (const command of submission.commands) {
      if ('accepted' in command || command.kind !== 'extended') continue;
      const { extension, part } = command;
      const own = parts.get(extension);
      if (own) own.push({ merchantId, part });
      else parts.set(extension, [{ merchantId, part }]);
    }
  }
  return {
    merchantIds: [...accounts.keys()].sort(compare),
    accounts: sorted(accounts),
    parents: sorted(parents),
    keys,
    parts,
  };
}

function addAll(into: Map<bigint, Set<bigint>>, merchantId: bigint, ids: Iterable<bigint>): void {
  let set = into.get(merchantId);
  if (!set) {
    set = new Set();
    into.set(merchantId, set);
  }
  for (const id of ids) set.add(id);
}

function sorted(rows: Map<bigint, Set<bigint>>): TenantId[] {
  return [...rows]
    .sort(([a], [b]) => compare(a, b))
    .flatMap(([merchantId, ids]) => [...ids].sort(compare).map((id) => ({ merchantId, id })));
}

/** Of ids that differ: they are keys of maps and members of sets. */
function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : 1;
}

/** A submission whose commands could not be decided: it fails by itself. */
export interface Failed {
  kind: 'failed';
  error: unknown;
}

export interface DecidedGroup {
  outcomes: (Outcome | Failed)[];
  /** Undefined when nothing is to be written: every request was a replay. */
  writes: GroupWrites | undefined;
}

/** Decides every submission against the locked rows. Throws SnowflakeRefused when no id can be issued. A long one gives way to others. */
export function* decideGroup(
  submissions: readonly Submission[],
  locked: LockedRows,
  ids: SnowflakeGenerator,
  token: bigint,
): Pieces<DecidedGroup> {
  const draft = new GroupDraft(locked, ids);
  const outcomes: (Outcome | Failed)[] = [];
  for (const submission of submissions) outcomes.push(yield* decideSubmission(submission, draft));
  return { outcomes, writes: draft.writes(token) };
}

function* decideSubmission(submission: Submission, draft: GroupDraft): Pieces<Outcome | Failed> {
  const { merchantId, idempotency } = submission;
  const known = idempotency && draft.storedKey(merchantId, idempotency.key);
  if (known) return replay(submission, known);
  const { mark } = draft;
  try {
    const decisions = yield* decideAll(submission, draft);
    const kept = idempotency && keyOf(submission, idempotency, decisions);
    if (kept) draft.keep(kept);
    return { kind: 'decided', decisions };
  } catch (error) {
    draft.undo(mark);
    // Without ids nobody's commands can be decided.
    if (error instanceof SnowflakeRefused) throw error;
    return { kind: 'failed', error };
  }
}

/** All decisions, or the one refusal of an atomic batch, which leaves nothing in the draft. */
function* decideAll(submission: Submission, draft: GroupDraft): Pieces<(Decision | Answered)[]> {
  const { commands, mode } = submission;
  const { mark } = draft;
  const decisions: (Decision | Answered)[] = [];
  for (const [index, command] of commands.entries()) {
    const decision = decideOne(submission, draft, command);
    if (!decision.accepted && mode === 'atomic') {
      draft.undo(mark);
      return [failedAt(decision, index)];
    }
    decisions.push(decision);
    yield;
  }
  return decisions;
}

function decideOne(submission: Submission, draft: GroupDraft, command: SubmittedCommand): Decision | Answered {
  let decision: Decision | Answered;
  if ('accepted' in command) decision = command;
  else if (command.kind === 'extended') decision = draft.extend(submission, command.extension, command.part);
  else decision = draft.post(submission, command);
  return decision.accepted ? decision : traced(decision, submission);
}

function traced(refused: Refused, { span }: Submission): Refused {
  const traceId = traceIdOf(span);
  return traceId ? { ...refused, trace_id: traceId } : refused;
}

/** Entries, or how many an extension may well post. */
function sizeOf(submission: Submission, command: SubmittedCommand): number {
  if ('accepted' in command) return 0;
  return command.kind === 'extended' ? submission.accounts.size : touchedEntries(submission, command).length;
}

/** What a submission costs its group, in postings of two entries. */
export function costOf(submission: Submission): number {
  const { commands, accounts } = submission;
  const posted = commands.filter((command) => 'accepted' in command || command.kind !== 'extended');
  const entries = posted.reduce((sum, command) => sum + sizeOf(submission, command), 0);
  const others = posted.length < commands.length ? accounts.size : 0;
  return Math.max(1, commands.length, Math.ceil((entries + others) / 2));
}

/** An atomic batch answers with its first failing problem, `errors[0].path` naming the transaction. */
function failedAt(refused: Refused, index: number): Refused {
  const path = `transactions.${index}`;
  const inner = (refused.errors ?? []).map((error) => ({ ...error, path: `${path}.${error.path}` }));
  return { ...refused, errors: [{ path, message: refused.detail }, ...inner] };
}

/** The row that answers the next request with the key; undefined where the key is not burnt. */
function keyOf(
  submission: Submission,
  { keepsRefusals, ...idempotency }: Idempotency,
  decisions: readonly (Decision | Answered)[],
): StoredKey | undefined {
  const key = { merchantId: submission.merchantId, ...idempotency };
  const [first] = decisions;
  if (!first) throw new Error('a submission without commands');
  if (submission.mode !== 'independent' && !first.accepted) {
    if (keepsRefusals === false || NOT_STORED.has(first.code)) return undefined;
    const response = JSON.stringify(keptRefusal(first));
    return { ...key, status: PROBLEMS[first.code].status, transactionId: null, response };
  }
  if (submission.mode === 'single') {
    if (!first.accepted) throw new Error('a refusal that was not kept');
    if ('response' in first) return { ...key, status: first.status, transactionId: null, response: first.response };
    return { ...key, status: 201, transactionId: first.transaction.id, response: null };
  }
  const results = decisions.map((decision) => {
    if (!decision.accepted) return keptRefusal(decision);
    return 'response' in decision ? JSON.parse(decision.response) : String(decision.transaction.id);
  });
  return { ...key, status: 200, transactionId: null, response: JSON.stringify(results) };
}

/** A refusal as keys have kept it in every version. */
export type KeptRefusal = Omit<Refused, 'accepted'>;

function keptRefusal({ accepted: _, ...kept }: Refused): KeptRefusal {
  return kept;
}

export function recalledRefusal(kept: KeptRefusal): Refused {
  return { accepted: false, ...kept };
}

function replay(submission: Submission, stored: StoredKey): Outcome {
  if (!submission.idempotency?.requestSha256.equals(stored.requestSha256)) return keyReused(submission);
  return { kind: 'replayed', status: stored.status, transactionId: stored.transactionId, response: stored.response };
}

function keyReused(submission: Submission): Outcome {
  const refused = refuse('idempotency_key_reused', 'This Idempotency-Key was first sent with another request.');
  return { kind: 'key_reused', refused: traced(refused, submission) };
}
