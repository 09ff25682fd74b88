import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { logicalLines } from './support/shell.js';

/** A command of the documents is run by a test, or what it printed stands in a document. */

const ROOT = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const DOCUMENTS = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)));

/** `npm run <name>`: the test that runs it, or the document that has its output, with a date. */
const NPM: Record<string, string> = {
  audit: 'docs/supply-chain.md',
  bench: 'test/bench-smoke.test.ts',
  'bench:balance-at': 'docs/figures/balance-at.md',
  'bench:bodies': 'docs/figures/bodies.md',
  'bench:layout': 'db/bench/README.md',
  'bench:limits': 'docs/figures/limits.md',
  'bench:night': 'docs/figures/night.md',
  'bench:noisy-neighbour': 'test/bench-smoke.test.ts',
  'bench:outbox': 'docs/figures/outbox.md',
  'bench:prices': 'test/bench-smoke.test.ts',
  'bench:reconciliation': 'test/bench-smoke.test.ts',
  'bench:webhooks': 'docs/figures/webhooks.md',
  check: '.ci/run',
  ci: '.ci/run',
  consumers: 'test/start.test.ts',
  'docs:config': 'test/written-files.test.ts',
  'docs:events': 'test/written-files.test.ts',
  'docs:ops': 'test/written-files.test.ts',
  drills: 'docs/figures/drills.md',
  fuzz: 'test/start.test.ts',
  jaeger: 'test/jaeger.test.ts',
  k6: 'test/start.test.ts',
  migrate: 'test/start.test.ts',
  night: 'test/night-cli.test.ts',
  'ops:check': 'ops/README.md',
  projections: 'test/start.test.ts',
  reset: 'test/start.test.ts',
  sbom: 'test/supply-chain.test.ts',
  services: 'test/services.test.ts',
  start: 'test/start.test.ts',
  test: '.ci/run',
  'test:faults': 'docs/figures/faults.md',
  'test:model': 'docs/figures/balance-cache.md',
  'test:mutants': 'docs/figures/mutants.md',
  'test:sql-faults': 'docs/figures/mutants.md',
  'test:stryker': 'docs/figures/mutants.md',
  verify: 'test/start.test.ts',
  'webhook-sink': 'test/start.test.ts',
};

/** The tests that paste what a page has in its blocks: all of them, or those of these sections. */
const PASTED: Record<string, { by: string; sections?: string[] }> = {
  'README.md': { by: 'test/readme.test.ts', sections: ['Ten minutes with it'] },
  'docs/limits.md': { by: 'test/limits-page.test.ts', sections: ['You met a 429', 'For operators'] },
  'docs/operations.md': { by: 'test/operations-page.test.ts' },
  'docs/payouts.md': { by: 'test/start.test.ts', sections: ['Try it'] },
  'docs/providers.md': { by: 'test/provider-secrets.test.ts', sections: ['Connect one'] },
  'docs/reconciliation.md': { by: 'test/start.test.ts' },
};

/** Without Docker: that it is given what Compose allows and the services accept. */
const COMPOSE = 'docker compose up';

interface Fence {
  section: string;
  kind: string;
  code: string;
}

/** The blocks of a document, each with the heading (of the second rank) that it stands under. */
function fencesOf(text: string): Fence[] {
  return text.split(/^## /m).flatMap((part, index) => {
    const section = index === 0 ? '' : (part.split('\n')[0] ?? '');
    const fences = [...part.matchAll(/^```(\w*)\n(.*?)\n```$/gms)];
    return fences.map(([, kind = '', code = '']) => ({ section, kind, code }));
  });
}

/** The commands of a block for a shell, without what is set before them and what is said behind them. */
function commandsIn(code: string): string[] {
  return logicalLines(code)
    .flatMap((line) => line.replace(/ +# .*$/, '').split(' && '))
    .map((command) => command.replace(/^([A-Z_]+=\S+ )+/, ''))
    .filter((command) => command !== '' && !command.startsWith('export '));
}

const npmNames = (text: string): string[] =>
  [...text.matchAll(/\bnpm (?:run )?([a-z][\w:-]*)/g)].map(([, name = '']) => name);

/** Commands in the blocks of a document that nobody runs, and below which nothing is shown. */
function unheld(document: string, text: string): string[] {
  const fences = fencesOf(text);
  const { by, sections } = PASTED[document] ?? {};
  return fences.flatMap(({ section, kind, code }, index) => {
    const next = fences[index + 1];
    const isShown = next !== undefined && next.kind !== 'sh' && next.section === section;
    const isPasted = by !== undefined && (sections?.includes(section) ?? true);
    if (kind !== 'sh') return code.match(/^([A-Z_]+=\S+ )*(npm|npx|curl|docker) .*$/gm) ?? [];
    return commandsIn(code).filter((command) => {
      if (command.startsWith('npm ')) return npmNames(command).some((name) => !(name in NPM));
      if (command.startsWith('curl ')) return !isPasted && !isShown;
      return command !== COMPOSE && !isShown;
    });
  });
}

test.each(DOCUMENTS)('%s has no command in a block that is neither run nor shown with its output', (document) => {
  expect(unheld(document, read(document))).toEqual([]);
});

test('a command that is added to a document is noticed', () => {
  const added = (text: string) => unheld('docs/limits.md', read('docs/limits.md') + text);
  const [curl, npm] = ['curl -sS $URL/healthz', 'npm run sweep -- --all'];
  expect(added(`\n\`\`\`sh\nexport A=1\n${npm}\n\`\`\`\n`)).toEqual([npm]);
  expect(added(`\n## More\n\n\`\`\`sh\nA=1 ${curl}     # so\n\`\`\`\n`)).toEqual([curl]);
  expect(added(`\n## More\n\n\`\`\`\n${npm}\n\`\`\`\n`)).toEqual([npm]);
  expect(added(`\n## More\n\n\`\`\`sh\n${curl}\n\`\`\`\n\n\`\`\`\nok\n\`\`\`\n`)).toEqual([]);
  expect(added(`\n## More\n\n\`\`\`sh\n${curl}\n\`\`\`\n\n## Else\n\n\`\`\`\nok\n\`\`\`\n`)).toEqual([curl]);
});

test('every npm command that a document names, also within a sentence, has a test or an output', () => {
  const spans = DOCUMENTS.flatMap((document) => read(document).match(/`[^`\n]+`/g) ?? []);
  const fences = DOCUMENTS.flatMap((document) => fencesOf(read(document)).filter(({ kind }) => kind === 'sh'));
  const named = new Set(npmNames([...spans, ...fences.map(({ code }) => code)].join('\n')));
  expect([...named].sort()).toEqual(Object.keys(NPM).sort());
});

test.each(Object.entries(NPM))('npm run %s is run by, or stands with its output in, %s', (name, file) => {
  const text = read(file);
  const script = name.replace(':', '-');
  const names = [`npm ${name}`, `npm run ${name}`, `run -s ${name}`];
  const runs = [...names, `'${script}'`, `'${script}.mjs'`, `/${script}.mjs'`];
  const isNamed = (file.endsWith('.md') ? names : runs).some((one) => text.includes(one));
  const isShown = !file.endsWith('.md') || /\b\d{1,2} [A-Z][a-z]+\s20\d\d\b/.test(text);
  expect({ isNamed, isShown }).toEqual({ isNamed: true, isShown: true });
});

test.each(Object.entries(PASTED))(
  'the blocks of %s are pasted by the test that is said to',
  (page, { by, sections }) => {
    const needed = [basename(page), ...(sections ?? []).map((section) => `'${section}'`)];
    expect(needed.filter((one) => !read(by).includes(one))).toEqual([]);
  },
);
