import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const DOCUMENTS = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.md'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)));

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** `4.54`, `24,773`, `10^6`, but no part of a word such as P17 or v2. */
function figuresIn(text: string): string[] {
  return text.match(/(?<![\w.,^])\d+(?:[.,^]\d+)*(?![\w^])/g) ?? [];
}

const LINK = /\[([^\]]*)\]\(([^)#\s]+)[^)]*\)/g;

/** The rows of docs/patterns.md whose figure is cited from a file, with what they say besides the links. */
const CITED = read('docs/patterns.md')
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.split(' | '))
  .map((cells) => ({ pattern: cells[1] ?? '', figure: cells.at(-1) ?? '' }))
  .map(({ pattern, figure }) => ({
    pattern,
    files: [...figure.matchAll(LINK)].map(([, , target]) => join('docs', target ?? '')).filter(isOfFigures),
    figures: figuresIn(figure.replace(LINK, '')),
  }))
  .filter(({ files, figures }) => files.length > 0 && figures.length > 0);

function isOfFigures(file: string): boolean {
  return file.startsWith('docs/figures/') || file === 'db/bench/README.md';
}

describe('a figure', () => {
  test('is cited in several rows of the patterns', () => {
    expect(CITED.length).toBeGreaterThan(4);
    expect(figuresIn('P17 took 1.5 of 24,773 in v2: 10^6 (0.9–1.8), row 10.')).toEqual([
      '1.5',
      '24,773',
      '10^6',
      '0.9',
      '1.8',
      '10',
    ]);
  });

  test.each(CITED)('of “$pattern” stands in the file that it is cited from', ({ files, figures }) => {
    const there = new Set(files.flatMap((file) => figuresIn(read(file))));
    expect(figures.filter((figure) => !there.has(figure))).toEqual([]);
  });

  test('that docs/figures/bench.md speaks of stands in its own tables', () => {
    const text = read('docs/figures/bench.md');
    const tables = new Set(figuresIn((text.match(/```[\s\S]*?```/g) ?? []).join('\n')));
    const said = text.slice(text.indexOf('## What it says'), text.indexOf('## Under k6'));
    const ratios = figuresIn(said).filter((figure) => figure.includes('.'));
    expect(ratios.length).toBeGreaterThan(4);
    expect(ratios.filter((figure) => !tables.has(figure))).toEqual([]);
  });
});

describe('a document', () => {
  test.each(DOCUMENTS)('%s says nothing twice, and names files that are there', (document) => {
    const text = read(document);
    const paragraphs = text.split(/\n{2,}/).filter((paragraph) => paragraph.length > 80);
    expect(paragraphs.filter((paragraph, index) => paragraphs.indexOf(paragraph) !== index)).toEqual([]);
    const named = [...text.matchAll(/`((?:apps|libs|db|test|bench|scripts|k6|docs)\/[\w./-]+\.\w+)`/g)];
    const missing = named.map(([, file]) => file ?? '').filter((file) => !existsSync(join(ROOT, file)));
    expect(missing).toEqual([]);
  });
});
