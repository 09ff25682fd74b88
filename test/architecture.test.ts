import { readdirSync, readFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestApi, transfer } from './support/api.js';

/** What there is, counted and printed. Cycles and forbidden imports are `test/imports.test.ts`'s; nothing else is bounded. */
const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const ROOMS = ['apps', 'libs', 'db', 'test', 'bench', 'k6', 'scripts'];

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
});
afterAll(() => api.stop());

const linesOf = (file: string): number => readFileSync(file, 'utf8').trimEnd().split('\n').length;
const median = (counts: readonly number[]): number => [...counts].sort((a, b) => a - b)[counts.length >> 1] ?? 0;

/** `apps/api`, `libs/ledger`, and whole folders beside them. */
function rooms(): string[] {
  const inside = (room: string): string[] =>
    readdirSync(join(ROOT, room), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(room, name));
  return ROOMS.flatMap((room) => (room === 'apps' || room === 'libs' ? inside(room) : [room]));
}

function codeOf(room: string): string[] {
  return readdirSync(join(ROOT, room), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs|js|lua|sql)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

function show(lines: readonly string[]): void {
  process.stdout.write(`${lines.map((line) => `  ${line}`).join('\n')}\n`);
}

test('lines and files by room', () => {
  const rows = rooms().map((room) => {
    const code = codeOf(room).filter((file) => !file.endsWith('.spec.ts'));
    const counts = code.map(linesOf);
    return { room, files: code.length, lines: counts.reduce((sum, count) => sum + count, 0), median: median(counts) };
  });
  show(rows.map((row) => `${row.room.padEnd(16)} ${row.files} files, ${row.lines} lines, median ${row.median}`));
  expect(rows.filter(({ files }) => files === 0)).toEqual([]);
});

/** Our files in which a function ran meanwhile, as V8 counts. */
async function filesThatRan(work: () => Promise<unknown>): Promise<string[]> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  await session.post('Profiler.takePreciseCoverage');
  await work();
  const { result } = await session.post('Profiler.takePreciseCoverage');
  session.disconnect();
  const ran = result.filter(({ functions }) => functions.some(({ ranges }) => ranges.some(({ count }) => count > 0)));
  const files = ran.map(({ url }) => relative(ROOT, url.startsWith('file:') ? fileURLToPath(url) : url));
  return [...new Set(files)].filter((file) => /^(apps|libs)\//.test(file)).sort();
}

test('the files that a posting passes', async () => {
  const shop = await api.merchant('EUR');
  await shop.open('from');
  await shop.open('to');
  const post = () => shop.posted(transfer('from', 'to', '5'));
  // The first one fills what is remembered in the process.
  await post();
  const files = await filesThatRan(post);
  show([`a posting passes ${files.length} files:`, ...files.map((file) => `${file} ${linesOf(join(ROOT, file))}`)]);
  const byRoom = Map.groupBy(files, (file) => file.split('/', 2).join('/'));
  show([...byRoom].map(([room, { length }]) => `${room} ${length}`));
  expect(files).toEqual(
    expect.arrayContaining([
      'apps/api/src/transactions/transactions.controller.ts',
      'libs/ledger/src/posting/decide.ts',
      'libs/ledger/src/writing/writer.ts',
    ]),
  );
});
