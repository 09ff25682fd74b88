import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MAX_LINES = 450;
/** A spec is a list of cases; it may be longer than what it specifies. */
const MAX_SPEC_LINES = 700;
const ROOMS = ['apps', 'libs', 'db', 'test', 'bench', 'k6', 'scripts'];

/** What git tracks and the working tree still has, as paths from the root. */
const FILES = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)));
const CODE = FILES.filter((file) => ROOMS.includes(file.split('/')[0] ?? '') && /\.(ts|mjs|js|sql)$/.test(file));

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** `file:line` of every line that matches, this file left out. */
function linesWith(pattern: RegExp, files: readonly string[] = CODE): string[] {
  return files
    .filter((file) => file !== 'test/tree.test.ts')
    .flatMap((file) =>
      read(file)
        .split('\n')
        .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}`] : [])),
    );
}

/** Each call of a function, up to the parenthesis that closes it. */
function callsOf(name: string, source: string): string[] {
  return source
    .split(`${name}(`)
    .slice(1)
    .map((rest) => {
      let depth = 1;
      const end = [...rest].findIndex((character) => {
        if (character === '(') depth += 1;
        if (character === ')') depth -= 1;
        return depth === 0;
      });
      return rest.slice(0, end);
    });
}

describe('the tree', () => {
  test('was found', () => {
    expect(CODE.length).toBeGreaterThan(100);
    expect(linesWith(/\bimport\b/).length).toBeGreaterThan(500);
  });

  test(`has no file of more than ${MAX_LINES} lines, and no spec of more than ${MAX_SPEC_LINES}`, () => {
    const limitOf = (file: string): number => (file.endsWith('.spec.ts') ? MAX_SPEC_LINES : MAX_LINES);
    expect(CODE.filter((file) => read(file).trimEnd().split('\n').length > limitOf(file))).toEqual([]);
  });

  test('leaves nothing to be done later in a comment', () => {
    expect(linesWith(/\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
  });

  test('has no test that is left out, or that leaves the others out', () => {
    expect(linesWith(/\b(test|it|describe|suite)(\.\w+)*\.(only|skip|todo|skipIf|runIf|fails)(\.\w+)*[(`]/)).toEqual(
      [],
    );
  });

  test('draws nothing that no seed repeats', () => {
    const tests = CODE.filter((file) => /^test\/|\.spec\.ts$/.test(file));
    // Planted bugs run in processes of their own.
    const sources = tests.filter((file) => !/\/mutants\.ts$/.test(file));
    expect(linesWith(/Math\.random\(/, sources)).toEqual([]);
    const unseeded = tests.filter((file) =>
      callsOf('fc.assert', read(file)).some((call) => !/\bseed\b|RUNS/.test(call)),
    );
    expect(tests.filter((file) => callsOf('fc.assert', read(file)).length > 0).length).toBeGreaterThan(5);
    expect(unseeded.filter((file) => file !== 'test/tree.test.ts')).toEqual([]);
  });

  test('takes no time out of thin air: the clock is handed in', () => {
    const libraries = CODE.filter((file) => /^libs\//.test(file) && !/(\.spec\.ts|kernel\/src\/clock\.ts)$/.test(file));
    expect(linesWith(/new Date\(\)/, libraries)).toEqual([]);
  });

  test('names its files in kebab-case, for the thing inside', () => {
    const odd = CODE.filter((file) => !/^[a-z0-9./-]+$/.test(file));
    expect(odd).toEqual([]);
    expect(CODE.filter((file) => /(^|[/.-])(utils?|helpers?|common|manager|impl|misc)[/.-]/.test(file))).toEqual([]);
  });

  test('ends every text with one line feed, and no line with white space', () => {
    const texts = FILES.filter((file) => /\.(ts|mjs|js|json|md|yml|sql)$/.test(file) || file === 'Dockerfile');
    expect(texts.filter((file) => !/[^\n]\n$/.test(read(file)))).toEqual([]);
    expect(linesWith(/[ \t\r]$/, texts)).toEqual([]);
  });
});

describe('the documents', () => {
  const documents = FILES.filter((file) => file.endsWith('.md'));

  test.each(documents)('%s links to files that exist', (document) => {
    const links = [...read(document).matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)/g)].map(
      ([, target]) => target ?? '',
    );
    const targets = links.map((target) => join(dirname(document), target));
    const missing = targets.filter((target) => !existsSync(join(ROOT, target)));
    expect(missing).toEqual([]);
  });
});
