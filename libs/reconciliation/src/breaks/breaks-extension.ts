import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import type { Answer, GroupExtension } from '#ledger/writing/group-extension.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import type { Operator } from '#tenancy/operator.js';
import { approve, reject, withdraw } from './approval.js';
import {
  type BreakPart,
  type BreakTurn,
  type BreakWrite,
  breakKey,
  type KnownToBreaks,
  operatorKey,
} from './break-part.js';
import { BREAK_JSON, type BreakRow } from './break-row.js';
import { illegal } from './break-status.js';
import { changed, commented } from './changed.js';
import { momentOf } from './moment.js';
import { propose } from './proposal.js';

/**
 * $1 merchants and $2 breaks; $3 merchants and $4 operators' keys, sorted by key; $5 merchants and $6 items. A key is locked, so that
 * its revocation is either seen here or comes after what it decides: whoever waits for that lock reads the row that then is.
 */
const LOOK_UP = `
SELECT k.merchant_id, 'break ' || k.id AS key, b.known
  FROM unnest($1::bigint[], $2::bigint[]) AS k (merchant_id, id)
 CROSS JOIN LATERAL (
   SELECT json_build_object('break', ${BREAK_JSON}, 'row', (
            SELECT json_build_object('source', r.source, 'identity', r.identity, 'reconciliation_id', r.reconciliation_id::text, 'line', r.line::text,
                                     'is_matched', r.match_line IS NOT NULL)
              FROM report_rows r
             WHERE r.merchant_id = b.merchant_id AND r.source = b.row_source AND r.identity = b.row_identity)) AS known
     FROM breaks b WHERE b.merchant_id = k.merchant_id AND b.id = k.id) b
UNION ALL
SELECT k.merchant_id, 'operator key ' || k.id, json_build_object('isValidKey', o.revoked_at IS NULL)
  FROM unnest($3::bigint[], $4::bigint[]) AS k (merchant_id, id)
 CROSS JOIN LATERAL (SELECT revoked_at FROM operator_keys WHERE id = k.id FOR SHARE) o
UNION ALL
SELECT k.merchant_id, 'item ' || k.item, json_build_object(
         'is_matched', EXISTS (SELECT FROM reconciled_items i WHERE i.merchant_id = k.merchant_id AND i.item = k.item),
         'holders', (SELECT coalesce(json_agg(${BREAK_JSON}), '[]')
                       FROM breaks b WHERE b.merchant_id = k.merchant_id AND b.item = k.item AND b.resolution IS NULL))
  FROM unnest($5::bigint[], $6::text[]) AS k (merchant_id, item)`;

/** $1 breaks, $2 rows and $3 items of matches: JSON, an object a row. */
const WRITE = `
WITH changed AS (
  UPDATE breaks b
     SET status = n.status, assignee = n.assignee, comments = n.comments, proposal = n.proposal, resolution = n.resolution
    FROM json_populate_recordset(NULL::breaks, $1::json) n
   WHERE b.merchant_id = n.merchant_id AND b.id = n.id
), matched AS (
  UPDATE report_rows r
     SET match_reconciliation_id = n.match_reconciliation_id, match_line = n.match_line, rule = 'by hand'
    FROM json_populate_recordset(NULL::report_rows, $2::json) n
   WHERE r.merchant_id = n.merchant_id AND r.source = n.source AND r.identity = n.identity
), counted AS (
  UPDATE reconciliations c SET matched = c.matched + n.matched
    FROM (SELECT merchant_id, reconciliation_id, count(*) AS matched
            FROM json_populate_recordset(NULL::report_rows, $2::json) GROUP BY merchant_id, reconciliation_id) n
   WHERE c.merchant_id = n.merchant_id AND c.id = n.reconciliation_id
)
INSERT INTO reconciled_items (merchant_id, item, match_reconciliation_id, match_line)
SELECT merchant_id, item, match_reconciliation_id, match_line FROM json_populate_recordset(NULL::reconciled_items, $3::json)`;

/** What people do about breaks, in commit groups: behind the merchant's lock, with what it posts. */
export const BREAKS: GroupExtension<BreakPart, KnownToBreaks, BreakWrite> = {
  name: 'breaks',
  lookUp: {
    text: LOOK_UP,
    values: (asked) => {
      const breaks = distinct(asked.map(({ merchantId, part }) => [merchantId, part.breakId] as const));
      const keys = distinct(
        asked.flatMap(({ merchantId, part: { operator } }) =>
          operator.keyId === null ? [] : [[merchantId, operator.keyId] as const],
        ),
      ).sort(([, a], [, b]) => (a < b ? -1 : 1));
      const items = distinct(
        asked.flatMap(({ merchantId, part }) => part.items.map((item) => [merchantId, item] as const)),
      );
      return [
        int8Array(breaks.map(([merchantId]) => merchantId)),
        int8Array(breaks.map(([, id]) => id)),
        int8Array(keys.map(([merchantId]) => merchantId)),
        int8Array(keys.map(([, id]) => id)),
        int8Array(items.map(([merchantId]) => merchantId)),
        textArray(items.map(([, item]) => item)),
      ];
    },
    known: (row) => ({
      merchantId: row.merchant_id as bigint,
      key: row.key as string,
      value: JSON.parse(row.known as string) as KnownToBreaks,
    }),
  },
  decide,
  write: { text: WRITE, values: (writes) => rowsOf(writes).map((rows) => JSON.stringify(rows)) },
};

function decide(part: BreakPart, turn: BreakTurn): Answer | Refused {
  const { operator, ask } = part;
  if (!hasValidKey(operator, turn)) return refuse('forbidden', `The key of ${operator.name} has been revoked.`);
  const found = turn.known(breakKey(part.breakId));
  if (!found || !('break' in found)) return refuse('not_found', 'There is no such break.');
  const refusal = illegal(ask.action, found.break.status);
  if (refusal) return refusal;
  switch (ask.action) {
    case 'assign':
      return assign(found.break, ask.to, turn);
    case 'comment':
      return comment(part, ask.text, found.break, turn);
    case 'propose':
      return propose(part, ask, found, turn);
    case 'approve':
      return approve(part, ask.proposalId, found, turn);
    case 'reject':
      return reject(part, ask.reason, found, turn);
    case 'withdraw':
      return withdraw(part, ask.reason, found, turn);
  }
}

/** A process trusts a key for seconds; what it decides about money is decided here. */
function hasValidKey({ keyId }: Operator, turn: BreakTurn): boolean {
  if (keyId === null) return true;
  const key = turn.known(operatorKey(keyId));
  return key !== undefined && 'isValidKey' in key && key.isValidKey;
}

function assign(row: BreakRow, assignee: string, turn: BreakTurn): Answer {
  return changed({ ...row, assignee, status: row.status === 'open' ? 'assigned' : row.status }, turn);
}

function comment({ operator }: BreakPart, text: string, row: BreakRow, turn: BreakTurn): Answer | Refused {
  const { by, key_id, at } = momentOf(operator, turn);
  const said = commented(row, { text, by, key_id, at });
  return 'accepted' in said ? said : changed(said, turn);
}

function distinct<Id>(ids: readonly (readonly [merchantId: bigint, id: Id])[]): (readonly [bigint, Id])[] {
  return [...new Map(ids.map((id) => [id.join(' '), id])).values()];
}

/** Breaks, each as it was left, then rows and items of matches. */
function rowsOf(writes: readonly BreakWrite[]): object[][] {
  const breaks = new Map<string, BreakRow>();
  for (const write of writes) if (write.table === 'breaks') breaks.set(write.row.id, write.row);
  const rows = writes.flatMap((write) => (write.table === 'report_rows' ? [matchedRow(write)] : []));
  const items = writes.flatMap((write) => (write.table === 'reconciled_items' ? [write.row] : []));
  return [[...breaks.values()], rows, items];
}

/** A match by hand is named by its only row. */
function matchedRow({ merchantId, row }: Extract<BreakWrite, { table: 'report_rows' }>): object {
  const { source, identity, reconciliation_id, line } = row;
  const merchant_id = String(merchantId);
  return {
    merchant_id,
    source,
    identity,
    reconciliation_id,
    match_reconciliation_id: reconciliation_id,
    match_line: line,
  };
}
