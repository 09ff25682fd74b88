import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const FILES = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)));
const TEXTS = FILES.filter((file) => /\.(md|ts|mjs|sql|lua|yml)$/.test(file) && !file.includes('citations.test'));
const DOCUMENTS = FILES.filter((file) => file.endsWith('.md') && file !== 'CHANGELOG.md');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const GLOSSARY = read('docs/glossary.md');
const PATTERNS = Number(/P1–P(\d+), the patterns/.exec(GLOSSARY)?.[1]);

/** What a text cites that `isHere` does not know, as `file: citation`. */
function unknown(files: readonly string[], pattern: RegExp, isHere: (cited: string) => boolean): string[] {
  return files.flatMap((file) =>
    [...read(file).matchAll(pattern)].flatMap(([, cited = '']) => (isHere(cited) ? [] : [`${file}: ${cited}`])),
  );
}

const names = new Set(FILES.map((file) => basename(file)));
const ends = (path: string): boolean => FILES.some((file) => file === path || file.endsWith(`/${path}`));

describe('what is cited can be read here', () => {
  test('pages, by name in any text', () => {
    expect(unknown(TEXTS, /(?<![\w/.-])([\w-]+\.md)\b/g, (name) => names.has(name))).toEqual([]);
  });

  test('files of ours that a document names in `code`', () => {
    const path = /`((?:[\w@-]+\/)*[\w.-]+\.(?:ts|mjs|lua|sql|yml))`/g;
    const made = /^(\*|dist\/)/;
    expect(unknown(DOCUMENTS, path, (cited) => made.test(cited) || ends(cited))).toEqual([]);
  });

  test('decisions, by number', () => {
    const isHere = (number: string): boolean =>
      FILES.some((file) => file.startsWith(`docs/adr/${number.padStart(4, '0')}-`));
    expect(unknown(TEXTS, /\bADR (\d+)\b/g, isHere)).toEqual([]);
  });

  test('numbers of invariants, exceptions, patterns and goals, which the glossary explains', () => {
    const isExplained = (number: string): boolean => new RegExp(`(^|\\W)${number}\\b`, 'm').test(GLOSSARY);
    expect(unknown(DOCUMENTS, /(?<![\w%#/-])([IX]\d{1,2})\b/g, isExplained)).toEqual([]);
    expect(unknown(DOCUMENTS, /(?<![\w%#/-])P(\d{1,2})\b/g, (number) => Number(number) <= PATTERNS)).toEqual([]);
    const rows = [...GLOSSARY.matchAll(/^\| (\d+) \|/gm)].map(([, number]) => String(number));
    expect(unknown(DOCUMENTS, /\brow (\d+)\b/g, (number) => rows.includes(number))).toEqual([]);
  });
});
