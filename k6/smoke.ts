/**
 * Does everything work at all? A few seconds, one merchant: postings, each sent twice at once, then verified.
 *
 *   npm run k6 -- smoke
 */
import { check } from 'k6';
import exec from 'k6/execution';
import {
  acknowledged,
  broken,
  type Merchant,
  openMerchant,
  postTransfer,
  verifyBooks,
  verifyPosting,
} from './lib/counterfoil.ts';

export const options = {
  scenarios: { postings: { executor: 'shared-iterations', vus: 4, iterations: 100, maxDuration: '60s' } },
  thresholds: { checks: ['rate==1'], ledger_broken: ['count==0'], http_req_failed: ['rate==0'] },
};

export function setup(): Merchant {
  broken.add(0);
  return openMerchant(`k6 smoke ${Date.now()}`, 10);
}

export default function smoke(merchant: Merchant): void {
  const n = exec.scenario.iterationInTest;
  const transfer = {
    merchant,
    ref: `smoke-${n}`,
    from: `wallet:${n % 10}`,
    to: `wallet:${(n + 3) % 10}`,
    amount: 1 + (n % 7),
  };
  const first = postTransfer(transfer);
  const isPosted = check(first, { 'a posting is acknowledged': (answer) => answer.status === 201 });
  if (!isPosted) return;
  acknowledged.add(1);
  const again = postTransfer(transfer);
  check(again, {
    'the same key gives the same answer': (answer) => answer.status === 201 && answer.body === first.body,
    'and says that it is a replay': (answer) => answer.headers['Idempotent-Replayed'] === 'true',
  });
  verifyPosting(merchant, transfer.ref, (first.json() as { id: string }).id);
}

export function teardown(merchant: Merchant): void {
  verifyBooks(merchant);
}
