// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const DAYS = 'test/settlement-days.test.ts';
const FEES = 'test/settlement-fees.test.ts';
const BY_HAND = 'test/settlement.test.ts';
const MEANWHILE = 'test/settlement-meanwhile.test.ts';
const CLOSING = 'test/settlement-closing.test.ts';
const CRASHES = 'test/settlement-crashes.test.ts';

/**
 * Planted bugs of settlements: how nights go wrong elsewhere.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const SETTLEMENT_MUTANTS = [
  inFile('libs/settlement/src/next-step.ts', DAYS, [
    [
      'a day is the calendar’s',
      'const calendar = calendarOf(clock);',
      "const calendar = calendarOf({ ...clock, cutoff: '00:00' });",
    ],
  ]),
  inFile('libs/settlement/src/calendar.ts', DAYS, [
    ['a merchant that moved is where it was', 'const all = later.some', 'const all = true ? [first] : later.some'],
    ['the zone before counts on behind the move', '.filter(({ atMs }) => atMs < untilMs)', ''],
    ['a zone counts before the move', 'atMs: Math.max(atMs, firstMs)', 'atMs'],
  ]),
  inFile('libs/settlement/src/next-step.ts', BY_HAND, [
    [
      'days that were missed are settled as one',
      'const date = draftedDate ?? (passable > businessDate ? businessDate : passable);',
      'const date = draftedDate ?? businessDate;',
    ],
    ['a day that is not over is settled', "if (asked.endMs > nowMs) return { merchantId, outcome: 'not_due' };", ''],
  ]),
  inFile('libs/settlement/src/draft-sql.ts', FEES, [
    [
      'fees are rounded once for each settlement',
      'CASE WHEN h.over > 5000 OR (h.over = 5000 AND h.down % 2 = 1) THEN 1 ELSE 0 END',
      'h.over::numeric / 10000',
    ],
    [
      'the item counts to its own tier',
      '(PARTITION BY f.merchant_id, f.account_id, f.month ORDER BY f.account_version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)',
      '(PARTITION BY f.merchant_id, f.account_id, f.month ORDER BY f.account_version ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)',
    ],
    ['a chunk does not know the volume of those before', 'f.reached + coalesce(sum', 'coalesce(sum'],
    ['a chunk gives back what was charged in it alone', 'coalesce(b.charged, 0) + coalesce(sum', 'coalesce(sum'],
    ['more is given back than was charged', 'charged * least(${taken}, captured)', 'charged * (${taken})'],
  ]),
  inFile('libs/settlement/src/draft-sql.ts', BY_HAND, [
    ['what is late is of the day that takes it', 'e.effective_at >= a.starts_at AS is_of_day', 'true AS is_of_day'],
    ['a later day’s is taken by an earlier one', 'e.effective_at >= a.ends_at AS is_left', 'false AS is_left'],
  ]),
  inFile('libs/settlement/src/close-day.ts', BY_HAND, [
    [
      'what was left for a later day is forgotten',
      'let taken = first_left === null ? looked : BigInt(first_left) - 1n;',
      'let taken = first_left === null ? looked : looked;',
    ],
    ['fees are always charged', 'const [from, to] = fees > 0n ?', 'const [from, to] = fees !== 0n ?'],
  ]),
  inFile('libs/settlement/src/begin.ts', CRASHES, [
    ['a day is begun that was closed meanwhile', 'p.business_date IS NOT DISTINCT FROM k.after', 'k.day IS NOT NULL'],
    [
      'a day is begun without its merchant’s lock',
      'client.query({ ...LOCK_MERCHANTS, values: [int8Array(merchantIds)] }),',
      '',
    ],
  ]),
  inFile('libs/settlement/src/draft-sql.ts', CRASHES, [
    [
      'a part is drafted that was drafted meanwhile',
      'd.settlement_id = k.settlement_id AND d.drafted_through = k.after',
      'd.settlement_id = k.settlement_id',
    ],
  ]),
  inFile('libs/settlement/src/close-day.ts', CRASHES, [
    [
      'the effect comes before the claim',
      'if (!isFree || businessDate !== after) return false;',
      'if (!isFree) return false;',
    ],
  ]),
  inFile('libs/settlement/src/draft-sql.ts', MEANWHILE, [
    ['fees are settled by the next day', "i.kind IS DISTINCT FROM 'fees'", 'true'],
  ]),
  inFile('libs/settlement/src/close-day.ts', MEANWHILE, [
    ['a day is closed by the zones of before', 'if (known.laterZones !== laterZones) return false;', ''],
  ]),
  inFile('libs/settlement/src/close-day.ts', CLOSING, [
    ['a day is closed before its drafts are whole', 'draft.drafted_through === draft.looked_through &&', ''],
    ['a day is closed without what somebody is at work on', '!isFree || businessDate', 'businessDate'],
    ['fees without accounts are not posted', "&& (draft.fees === '0' || accounts.has(draft.currency))", ''],
    ['a day is closed by drafts of another one', 'draft.business_date === day.day &&', ''],
    ['a day is closed after another than the last', '|| businessDate !== after', ''],
  ]),
].flat();
