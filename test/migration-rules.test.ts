import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const FOLDER = join(import.meta.dirname, '..', 'db', 'migrations');
/** From the next one on processes of the release before stay at work beside a migrated database (docs/upgrading.md). */
const LAST_WITHOUT_RULE = '1764504100000';

/** What takes away or tightens something that code of the release before may use. */
const CONTRACTS =
  /\b(DROP\s+(TABLE|COLUMN|FUNCTION|POLICY|INDEX|VIEW|TRIGGER|CONSTRAINT)|RENAME|REVOKE(?![^;]*FROM\s+PUBLIC)|SET\s+NOT\s+NULL|ALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE)\b/i;
const SAYS_SO = /\bContracts: \S/;

/** Its statements of the way up: whatever stands before `down`, comments aside. */
function contracts(source: string): boolean {
  const up = source.replace(/async down\([\s\S]*?\n {2}\}/g, '');
  return CONTRACTS.test(up.replace(/^\s*(\/\/|\*|--).*$/gm, ''));
}

const sources = readdirSync(FOLDER).map((file) => ({ file, source: readFileSync(join(FOLDER, file), 'utf8') }));

test('a migration adds; one that takes away says since when nobody uses it', () => {
  const bound = sources.filter(({ file }) => file.slice(0, LAST_WITHOUT_RULE.length) > LAST_WITHOUT_RULE);
  const silent = bound.filter(({ source }) => contracts(source) && !SAYS_SO.test(source));
  expect(silent.map(({ file }) => file)).toEqual([]);
});

test('what contracts is told from what expands', () => {
  const found = (name: string): boolean => contracts(sources.find(({ file }) => file.includes(name))?.source ?? '');
  // Drops a column that the version before writes; sets one NOT NULL.
  expect(['due-rows', 'amounts-left', 'event-places'].map(found)).toEqual([true, true, true]);
  expect(['transaction-facts', 'moved-balances', 'partition-of'].map(found)).toEqual([false, false, false]);
});
