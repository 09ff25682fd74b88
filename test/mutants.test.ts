import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { FAULT_MUTANTS } from '../scripts/mutants/faults.mjs';
import { plant } from '../scripts/mutants/mutant.mjs';
import { HELD_BY } from '../scripts/mutants/sql-faults.mjs';
import { MUTANTS } from '../scripts/mutants/table.mjs';
import runs from '../vitest.config.js';

const ROOT = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const { compilerOptions } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config;
const { options } = ts.convertCompilerOptionsFromJson(compilerOptions, ROOT);

/** What the compiler makes of a source of ours; other files as they are. */
function compiled(file: string): string {
  const source = /^dist\/(.*)\.js$/.exec(file)?.[1];
  if (source === undefined) return read(file);
  // One file by itself does not know that its package is of modules.
  const module = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
  const compilerOptions = { ...options, ...module, noEmit: false, sourceMap: false };
  return ts.transpileModule(read(`${source}.ts`), { compilerOptions, fileName: join(ROOT, `${source}.ts`) }).outputText;
}

/** Of each that has no place: its name, its file, and where the quotation was last. */
function stale(mutants: readonly { name: string; file: string; search: string; replace: string }[], text = read) {
  return mutants.flatMap((mutant) => {
    const planted = plant(text(mutant.file), mutant);
    return 'stale' in planted ? [`${mutant.name}: ${mutant.file}: ${planted.stale}`] : [];
  });
}

test('every planted bug quotes the source as it is, once', () => {
  expect(MUTANTS.length).toBeGreaterThan(300);
  expect(stale(MUTANTS)).toEqual([]);
});

test('every spec that a planted bug names is one file, which runs in one project of vitest’s', () => {
  const files = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).split('\n');
  const projects = (runs.test?.projects ?? []).map((project) => (project as typeof runs).test);
  const runsIn = (file: string) =>
    projects.filter(({ include, exclude } = {}) => isOf(file, include) && !isOf(file, exclude)).length;
  for (const spec of new Set(MUTANTS.flatMap(({ specs }) => specs))) {
    // What vitest is given is a part of a path.
    expect(
      files.filter((file) => file.includes(spec)),
      spec,
    ).toEqual([spec]);
    expect(runsIn(spec), spec).toBe(1);
    // Those are run without the servers: scripts/mutants/copied-tree.mjs.
    if (spec.endsWith('.spec.ts')) expect(read(spec), spec).not.toMatch(/\/test\/support\/(api|database|redis)/);
  }
});

function isOf(file: string, patterns: readonly string[] = []): boolean {
  return patterns.some((pattern) => matchesGlob(file, pattern));
}

test('the formatter’s line breaks and commas make no quotation stale', () => {
  const mutant = { search: 'send(one, two) ;', replace: 'send(one);' };
  for (const source of ['send(one, two);', 'send(\n  one,\n  two,\n);', 'send( one , two );'])
    expect(plant(`const a = 1;\n${source}\nreturn;`, mutant)).toEqual({ source: 'const a = 1;\nsend(one);\nreturn;' });
  // A word is a whole one.
  expect(plant('const ab = c;', { search: 'const a b', replace: '' })).toHaveProperty('stale');
});

test('a stale quotation says where it would have been, and one that is there twice where', () => {
  const source = 'const limit = 5;\nif (count >= limit) stop();\nif (all) stop();\n';
  expect(plant(source, { search: 'if (count > limit)', replace: '' })).toEqual({
    stale: '"if (count > limit)" is nowhere; the nearest is line 2: if (count >= limit) stop();',
  });
  expect(plant(source, { search: 'stop();', replace: '' })).toEqual({
    stale: '"stop();" is there more than once, at lines 2, 3',
  });
  expect(plant(source, { search: 'nothing', replace: '' })).toHaveProperty(
    'stale',
    '"nothing" is nowhere; no line has a word of it',
  );
});

test('those of the fault harness quote what the compiler makes of it', () => {
  const changes = FAULT_MUTANTS.flatMap(({ name, changes }) => changes.map((change) => ({ name, ...change })));
  expect(changes.length).toBeGreaterThan(10);
  expect(stale(changes, compiled)).toEqual([]);
});

test('the files that SQL faults are planted in, and the tests that hold them, are there', () => {
  const files = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).split('\n');
  for (const [pattern, tests] of HELD_BY) {
    expect(
      files.filter((file) => pattern.test(file)),
      String(pattern),
    ).not.toEqual([]);
    for (const name of tests) expect(files).toContain(`test/${name}.test.ts`);
  }
});
