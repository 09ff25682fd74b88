import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Pieces } from '#platform/turns.js';
import type { Entry, Transaction } from '../posting/transaction.js';
import { type Totals, ZERO_TOTALS } from './account.js';

/**
 * Balances at a point in *effective* time, whatever was back-dated, at a cost that does not grow with the history.
 *
 * The entries' running totals answer "as recorded by T" (ids ascend along versions). A late entry, effective before it was
 * recorded, differs from that between its two times: it must count from `effective_at` on, and not a second time from
 * `created_at` on. So it leaves two signed points, + at effective_at and − at created_at, and the balance at T is the
 * running total recorded by T plus the sum of all points up to T.
 *
 * That prefix sum is kept as a tree of sums over milliseconds, 64 children to a node: 7 levels span 42 bits. A point is
 * added to one node of each level; a prefix is at most 63 nodes of each level. Points of one entry that fall into the same
 * node cancel, so an entry that is seconds late touches only the two or three lowest levels.
 *
 * The balance at T is at the highest version that it counts. Among what was recorded by T a walk back from the newest entry
 * finds it (GET_BALANCE_AT). Only what was recorded later and dated back to T needs the tree: each node keeps the highest
 * version that was dated back into it from beyond its end. An entry with both its times in one node is not needed there, since
 * whoever reads that node has the entry recorded by T.
 */
export const LEVELS = 7;
export const LEVEL_BITS = 6;
/** Below every bucket: `-2^63`, quoted because PostgreSQL reads the digits before the sign. */
const LOWEST_BUCKET = "'-9223372036854775808'::bigint";

export interface BackDatedAdjustment extends Totals {
  accountId: bigint;
  level: number;
  bucket: bigint;
  /** Highest version dated back into this node from beyond it; 0n: none. */
  newestVersion: bigint;
}

type Node = { -readonly [Key in keyof BackDatedAdjustment]: BackDatedAdjustment[Key] };

/** What a group of transactions adds to the tree: one row per touched node, nothing where everything was on time. */
export function* backDatedAdjustments(transactions: readonly Transaction[]): Pieces<BackDatedAdjustment[]> {
  const nodes = new Map<string, Node>();
  for (const transaction of transactions) {
    const createdAtMs = snowflakeTimeMs(transaction.id);
    if (transaction.effectiveAtMs === createdAtMs) continue;
    yield;
    const points = [
      { atMs: BigInt(transaction.effectiveAtMs), sign: 1n },
      { atMs: BigInt(createdAtMs), sign: -1n },
    ];
    for (const entry of transaction.entries) {
      for (const { atMs, sign } of points) {
        for (let level = 0; level < LEVELS; level += 1) {
          const shift = BigInt(LEVEL_BITS * level);
          const bucket = atMs >> shift;
          const node = nodeAt(nodes, entry.accountId, level, bucket);
          addEntry(node, entry, sign);
          const isDatedBack = BigInt(createdAtMs) >> shift > bucket;
          if (isDatedBack && entry.accountVersion > node.newestVersion) node.newestVersion = entry.accountVersion;
        }
      }
    }
  }
  return [...nodes.values()].filter(isNotEmpty);
}

function nodeAt(nodes: Map<string, Node>, accountId: bigint, level: number, bucket: bigint): Node {
  const key = `${accountId}:${level}:${bucket}`;
  let node = nodes.get(key);
  if (!node) {
    node = { accountId, level, bucket, ...ZERO_TOTALS, newestVersion: 0n };
    nodes.set(key, node);
  }
  return node;
}

function addEntry(node: Node, entry: Entry, sign: bigint): void {
  if (entry.direction === 'debit') {
    node.postedDebits += sign * entry.posted;
    node.pendingDebits += sign * entry.pending;
  } else {
    node.postedCredits += sign * entry.posted;
    node.pendingCredits += sign * entry.pending;
  }
}

function isNotEmpty({ postedDebits, postedCredits, pendingDebits, pendingCredits, newestVersion }: Node): boolean {
  return [postedDebits, postedCredits, pendingDebits, pendingCredits, newestVersion].some((value) => value !== 0n);
}

/**
 * `$1` merchant, `$2` account, `$3` the millisecond T: the sums of all points up to and including T, and the highest version dated
 * back to there; one row. The top level has no lower bound: before 1970 and after May 2109 lie nodes that no parent covers, of 2.2 years each. Summed level by
 * level: an aggregate cannot be turned into a join, which would read every node of the account.
 */
export const ADJUSTMENT_UNTIL = `
SELECT coalesce(sum(s.posted_debits), 0)::bigint AS posted_debits, coalesce(sum(s.posted_credits), 0)::bigint AS posted_credits,
       coalesce(sum(s.pending_debits), 0)::bigint AS pending_debits, coalesce(sum(s.pending_credits), 0)::bigint AS pending_credits,
       coalesce(max(s.newest_version), 0) AS newest_version
  FROM generate_series(0, ${LEVELS - 1}) AS level
  CROSS JOIN LATERAL (
    SELECT sum(posted_debits) AS posted_debits, sum(posted_credits) AS posted_credits,
           sum(pending_debits) AS pending_debits, sum(pending_credits) AS pending_credits,
           max(newest_version) AS newest_version
      FROM late_sums
     WHERE merchant_id = $1 AND account_id = $2 AND late_sums.level = level.level
       AND bucket >= CASE level.level WHEN ${LEVELS - 1} THEN ${LOWEST_BUCKET}
                     ELSE (($3::bigint + 1) >> (${LEVEL_BITS} * (level.level + 1))) << ${LEVEL_BITS} END
       AND bucket < (($3::bigint + 1) >> (${LEVEL_BITS} * level.level))) AS s`;
