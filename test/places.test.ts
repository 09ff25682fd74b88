import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import rules from '../.dependency-cruiser.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const ARCHITECTURE = read('ARCHITECTURE.md');
const LIBRARIES = readdirSync(join(ROOT, 'libs')).sort();

/** The cells of the rows of a table, its heading left out. */
const rowsOf = (table: string): string[][] =>
  table
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()))
    .slice(1);

const [, chapter = ''] = /## Where do I put …\n([\s\S]*?)\n## /.exec(ARCHITECTURE) ?? [];
const WANTED = rowsOf(chapter).map(([what = '', places = '', held = '']) => ({
  what,
  places: places.split(' · '),
  held,
}));
const LINK = /\[([^\]]+)\]\(([^)#]+)\)/g;

describe('where do I put', () => {
  test('what a newcomer asks for', () => {
    const asked = ['field', 'event', 'consumer', 'reactor', 'nightly job', 'setting', 'refusal', 'metric', 'table'];
    expect(asked.filter((word) => !WANTED.some(({ what }) => what.startsWith(word)))).toEqual([]);
  });

  test.each(WANTED)('a $what: at most three places, each where the table says', ({ places, held }) => {
    expect(places.length).toBeLessThanOrEqual(3);
    const links = [...places.join(' ').matchAll(LINK)].map(([, symbol = '', file = '']) => ({ symbol, file }));
    expect(links.length).toBeGreaterThan(0);
    const lost = links.filter(({ symbol, file }) => {
      if (!existsSync(join(ROOT, file))) return true;
      const [, name] = /^`(\w+)`$/.exec(symbol) ?? [];
      return name !== undefined && !new RegExp(`\\b${name}\\b`).test(read(file));
    });
    expect(lost).toEqual([]);
    const symbols = links.map(({ symbol }) => symbol);
    expect(symbols.filter((symbol) => symbol.startsWith('`')).length).toBeGreaterThan(0);
    const tests = [...held.matchAll(/`(test\/[\w.-]+)`/g)].map(([, file = '']) => file);
    expect(tests.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  test('what stands beside a place in its file is there', () => {
    const beside: [file: string, symbols: RegExp[]][] = [
      ['apps/api/src/transactions/schemas.ts', [/function factsOf\(/, /function transactionBody\(/]],
      ['libs/ledger/src/writing/group-parameters.ts', [/function\* groupColumns\(/]],
    ];
    for (const [file, symbols] of beside) for (const symbol of symbols) expect(read(file)).toMatch(symbol);
  });
});

test('the table of imports says what the rules forbid, of every library', () => {
  const [, table = ''] = /\n(\| may import → [\s\S]*?)\n\n/.exec(ARCHITECTURE) ?? [];
  const [heading = ''] = table.split('\n');
  const columns = heading
    .split('|')
    .slice(2, -1)
    .map((cell) => cell.trim());
  expect([...columns].sort()).toEqual(LIBRARIES);
  const forbidden = (library: string): string[] => {
    const rule = rules.forbidden?.find(({ name }) => name === `${library}-imports-downwards`);
    const path = String(rule && 'to' in rule ? (rule.to as { path?: unknown }).path : '');
    return path
      .replace(/^\^libs\/\(|\)\/$/g, '')
      .split('|')
      .sort();
  };
  const rows = rowsOf(table).filter(([name = '']) => name !== 'apps');
  expect(rows.map(([name]) => name).sort()).toEqual(LIBRARIES);
  for (const [name = '', ...cells] of rows) {
    const blank = columns.filter((_, index) => cells[index] === '');
    expect({ name, blank: blank.sort() }).toEqual({ name, blank: forbidden(name) });
  }
});

test('every room is in the one list of them', () => {
  const rooms = LIBRARIES.filter((library) => existsSync(join(ROOT, `libs/${library}/src/room.ts`)));
  const listed = [...read('apps/rooms.ts').matchAll(/from '#(\w+)\/room\.js'/g)].map(([, library]) => library);
  // The outbox's room.ts is what a room is.
  expect(listed.filter((library) => library !== 'outbox').sort()).toEqual(rooms.filter((room) => room !== 'outbox'));
});
