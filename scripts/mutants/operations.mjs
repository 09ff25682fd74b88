// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import { inFile } from './mutant.mjs';

const REBUILD = 'test/rebuild.test.ts';
const LETTERS = 'test/dead-letter-routes.test.ts';

/**
 * Planted bugs of rebuilds, their checks, the routes of operators and alerts.
 *
 * @type {import('./table.mjs').Mutant[]}
 */
export const OPERATIONS_MUTANTS = [
  ...inFile('libs/summaries/src/rebuild-store.ts', REBUILD, [
    [
      'generations change without locking the positions',
      "WHERE consumer = $1 ORDER BY partition FOR UPDATE'",
      "WHERE consumer = $1 ORDER BY partition'",
    ],
    ['a rebuild takes what was given up on', "AND status <> 'redriven'`", 'AND false`'],
    ['what is redriven meanwhile is lost', "AND d.status = 'redriven'", 'AND false'],
    ['two rebuilds at once', 'AND claimed_until < now() RETURNING', 'RETURNING'],
    ['a number is given twice', 'newest_generation = newest_generation + 1', 'newest_generation = generation + 1'],
    [
      'earlier attempts may go on',
      'text: FORGET_ATTEMPTS, values: [`^${projection}_[0-9]+$`]',
      "text: FORGET_ATTEMPTS, values: ['^$']",
    ],
    ['a lost claim is not noticed', 'if (rowCount !== 1) throw', 'if (rowCount === null) throw'],
  ]),
  ...inFile('libs/summaries/src/rebuild.ts', REBUILD, [
    ['old generations stay', 'await purge(database, store, [{ first: 0, end: generation }]);', ''],
    ['the rest of the log is left out', 'if (rest.length > 0) {', 'if (rest.length < 0) {'],
  ]),
  ...inFile('libs/summaries/src/checks.ts', REBUILD, [
    ['verify does not look for rows too many', 'FULL JOIN (${FOLDED})', 'RIGHT JOIN (${FOLDED})'],
    ['verify does not look for missing rows', 'FULL JOIN (${FOLDED})', 'LEFT JOIN (${FOLDED})'],
    ['verify wants what was given up on', "AND d.status <> 'redriven')", 'AND false)'],
  ]),
  ...inFile('libs/summaries/src/summary-store.ts', 'test/daily-summaries.test.ts', [
    [
      'all generations are served',
      "generation = (SELECT generation FROM projections WHERE name = 'daily_summaries')`",
      'true`',
    ],
    ['the last day is left out', 'day <=', 'day <'],
    ['summaries are always current', 'coalesce(w.oldest, now())', 'now()'],
  ]),
  ...inFile('libs/outbox/src/dead-letters/dead-letter-store.ts', LETTERS, [
    [
      'a decision can be turned round',
      "WHERE merchant_id = $1 AND id = $2 AND status = 'parked'`",
      'WHERE merchant_id = $1 AND id = $2`',
    ],
  ]),
  ...inFile('ops/work-alerts.ts', 'test/alerts.test.ts', [
    ['nobody is told of webhooks whose events are gone', 'outcome=~"failed|lapsed"', 'outcome=~"failed"'],
    ['nobody is told of endpoints that are disabled', ' + sum(increase(${C}webhook_disables_total[${window}]))', ''],
    ['facts wait twice as long until somebody is told', 'above: 7_200', 'above: 14_400'],
  ]),
];
