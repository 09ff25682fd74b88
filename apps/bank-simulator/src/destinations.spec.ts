import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DESTINATIONS } from './destinations.js';

test('the page about payouts says each destination, and none that there is not', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/payouts.md'), 'utf8');
  const said = [...page.matchAll(/^\| `(bank_[a-z]+)` \|/gm)].map(([, destination]) => destination);
  expect(said.sort()).toEqual([...DESTINATIONS.keys()].sort());
});
