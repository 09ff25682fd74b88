// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import { inFile, mutantsOf } from './mutant.mjs';

const APART = 'test/merchants-apart.test.ts';
const SUMMARIES = 'test/summaries-apart.test.ts';
const apart = mutantsOf('libs/outbox/src/consumers/apart.ts', [APART]);
const applier = mutantsOf('libs/outbox/src/consumers/batch-applier.ts', [APART]);
const positions = mutantsOf('libs/outbox/src/consumers/position-store.ts', [APART]);

/** Planted bugs of merchants that go apart from their partition, and of others who waited for each other. */
export const PARTITION_MUTANTS = [
  applier(
    'nobody goes apart',
    `return apart && 'partition' in whose && limit === pageEvents ? crowdOf(events, apart) : [];`,
    'return [];',
  ),
  applier(
    'who goes apart is applied by the partition as well',
    'unparked.filter(({ merchantId }) => !crowd.includes(merchantId))',
    'unparked',
  ),
  applier(
    'whoever goes apart begins where the partition stands',
    'await goApart(client, consumer.name, crowd, claim.position);',
    'await goApart(client, consumer.name, crowd, end);',
  ),
  applier('nobody goes together again', 'if (!turn.isLast || outcome.outcome', 'if (turn.isLast || outcome.outcome'),
  applier(
    'a page that is not full makes its merchants go apart',
    'const crowd = events.length < limit ? [] :',
    'const crowd =',
  ),
  apart(
    'who slept past a claim of the partition passes over whoever goes with it again',
    'SET claimed_by = NULL WHERE',
    'SET claimed_by = claimed_by WHERE',
  ),
  apart(
    'a merchant that is not level goes together again',
    `
   AND NOT EXISTS (SELECT FROM events e WHERE e.merchant_id = m.merchant_id AND (e.xid, e.seq) > (m.xid, m.seq)
                      AND (e.xid, e.seq) <= ($3::xid8, $4::bigint))`,
    ' AND ($3::xid8, $4::bigint) IS NOT NULL',
  ),
  apart(
    'a merchant that somebody is at work on goes together again',
    'merchant_id = $2 AND claimed_until < now() AND NOT EXISTS',
    'merchant_id = $2 AND NOT EXISTS',
  ),
  apart('a merchant’s turn has no end', 'OFFSET $3::int - 1 LIMIT 1', 'OFFSET $3::int + 1000000 LIMIT 1'),
  apart('a merchant overtakes its partition', ' AND (xid, seq) <= (p.xid, p.seq) ORDER BY', ' ORDER BY'),
  positions(
    'a sleeper moves the position of a merchant that others have',
    'WHERE consumer = $1 AND ${key} = $2 AND claimed_by = $3 AND xid = $5 AND seq = $6 AND ${stands}',
    'WHERE consumer = $1 AND ${key} = $2 AND $3::uuid IS NOT NULL AND $5::xid8 IS NOT NULL AND $6::bigint IS NOT NULL AND ${stands}',
  ),
  ...inFile('libs/outbox/src/log/event-log.ts', APART, [
    [
      'the partition applies what goes apart from it',
      'AND merchant_id NOT IN (SELECT merchant_id FROM merchant_positions WHERE consumer = $7 AND partition = $1)',
      'AND $7::text IS NOT NULL',
    ],
  ]),
  ...inFile('libs/outbox/src/relay/relay-store.ts', APART, [
    [
      'those who go apart have no turns',
      'WHERE m.consumer = ANY ($1::text[]) AND m.partition = ANY ($2::smallint[]) AND m.claimed_until < now()',
      'WHERE m.consumer = ANY ($1::text[]) AND m.partition = ANY ($2::smallint[]) AND false',
    ],
    [
      'what is passed over counts as a batch',
      'count(*) FILTER (WHERE merchant_id <> ALL (apart.merchants)) OVER',
      'count(*) OVER',
    ],
  ]),
  ...inFile('db/migrations/1765020100100-merchants-apart.ts', APART, [
    [
      'events are forgotten that a merchant which goes apart has yet to come to',
      'UNION ALL SELECT xid, seq FROM merchant_positions WHERE partition = of_partition',
      '',
    ],
    [
      'a worker of the release before applies what goes apart as well',
      'WHEN ((OLD.xid, OLD.seq) IS DISTINCT FROM',
      'WHEN (false AND (OLD.xid, OLD.seq) IS DISTINCT FROM',
    ],
    [
      'a worker of the release before applies with its stream what goes apart as well',
      "AFTER UPDATE OR DELETE ON parked_streams FOR EACH ROW WHEN (current_setting('counterfoil.leaves_apart', true) IS DISTINCT FROM 'on')",
      'AFTER UPDATE OR DELETE ON parked_streams FOR EACH ROW WHEN (false)',
    ],
  ]),
  positions(
    'a turn goes on while a rebuild is about to be served',
    'AND partition = partition_of($2) FOR KEY SHARE)',
    'AND partition = partition_of($2))',
    [SUMMARIES],
  ),
  ...inFile('libs/summaries/src/rebuild-store.ts', SUMMARIES, [
    [
      'a rebuild applies what a merchant that goes apart has yet to come to',
      'UNION ALL SELECT xid, seq FROM merchant_positions WHERE consumer = $1 AND partition = o.partition',
      '',
    ],
    [
      'a rebuild that is served applies what a merchant that goes apart has yet to come to',
      'AND (m.xid, m.seq) < (ev.xid, ev.seq))',
      'AND false)',
    ],
  ]),
  ...inFile('libs/summaries/src/summary-store.ts', SUMMARIES, [
    [
      'summaries are as of where the partition is',
      'coalesce((SELECT xid FROM merchant_positions WHERE consumer = $2 AND merchant_id = $1),',
      'coalesce(',
    ],
  ]),
  ...inFile('libs/summaries/src/checks.ts', SUMMARIES, [
    ['what goes apart is checked as its partition', 'ORDER BY place LIMIT 1', 'ORDER BY place DESC LIMIT 1'],
  ]),
  ...inFile('libs/outbox/src/consumers/reactions.ts', SUMMARIES, [
    [
      'the keys of a merchant that goes apart are purged',
      "OR EXISTS (SELECT FROM merchant_positions m WHERE m.merchant_id = k.merchant_id AND m.consumer = split_part(k.key, ' ', 2))",
      '',
    ],
  ]),
  ...inFile('libs/reconciliation/src/jobs/reports-left.ts', 'test/report-fairness.test.ts', [
    ['only the first merchants’ reports are looked after', 'after === 0n || page.length === limit;', 'after === 0n;'],
  ]),
  ...inFile('libs/settlement/src/settler.ts', 'test/settlement-fairness.test.ts', [
    [
      'whoever has closed a missed day waits for those who draft theirs',
      '!page.results.has(id) && !isDrafting.has(id)',
      '!page.results.has(id) && isDrafting.size === 0',
    ],
  ]),
];
