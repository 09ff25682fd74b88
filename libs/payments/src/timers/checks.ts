import type { Check } from '#platform/verify.js';
import { PAYMENT_FACTS } from './parked-letters.js';
import { PARKED_FACT, PAYMENT_EXPIRY } from './timers.js';

const DUE = (kind: string): string =>
  `(SELECT subject_id, due_at FROM due_rows WHERE merchant_id = $1 AND kind = '${kind}') d`;

/** What is due of payments is what has to be. */
export const TIMER_CHECKS: readonly Check[] = [
  {
    name: 'every payment that holds something until a time is due then, and nothing else is',
    count: 'SELECT count(*) FROM payments WHERE merchant_id = $1 AND expires_at IS NOT NULL',
    find: `
SELECT CASE WHEN d.subject_id IS NULL THEN format('payment %s ends at %s and is never due', p.id, p.expires_at)
            WHEN p.id IS NULL THEN format('payment %s is due at %s and holds nothing that ends', d.subject_id, d.due_at)
            ELSE format('payment %s ends at %s and is due at %s', p.id, p.expires_at, d.due_at) END
  FROM (SELECT id, expires_at FROM payments
         WHERE merchant_id = $1 AND expires_at IS NOT NULL AND amount_capturable > 0) p
  FULL JOIN ${DUE(PAYMENT_EXPIRY)} ON d.subject_id = p.id
 WHERE d.subject_id IS NULL OR p.id IS NULL OR d.due_at <> p.expires_at LIMIT $2`,
  },
  {
    name: 'every fact that waits is due, or a dead letter, and nothing else is',
    count: `SELECT count(*) FROM payment_facts WHERE merchant_id = $1 AND outcome = 'parked'`,
    find: `
SELECT CASE WHEN f.id IS NULL THEN format('fact %s is due or a dead letter, and does not wait', coalesce(d.subject_id, l.subject_id))
            ELSE format('fact %s of %s waits and is neither due nor a dead letter', f.fact_id, f.subject) END
  FROM (SELECT id, fact_id, subject FROM payment_facts WHERE merchant_id = $1 AND outcome = 'parked') f
  FULL JOIN ${DUE(PARKED_FACT)} ON d.subject_id = f.id
  FULL JOIN (SELECT subject_id FROM dead_letters WHERE merchant_id = $1 AND consumer = '${PAYMENT_FACTS}'
                AND status IN ('parked', 'redriving', 'discarding')) l ON l.subject_id = coalesce(f.id, d.subject_id)
 WHERE f.id IS NULL OR (d.subject_id IS NULL AND l.subject_id IS NULL) LIMIT $2`,
  },
];
