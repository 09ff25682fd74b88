import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import rules from '../.dependency-cruiser.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const COMMAND: string = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts['check:imports'];
/** The folders that `npm run check:imports` reads. */
const FOLDERS = / depcruise ([\w ]+) --config/.exec(COMMAND)?.[1]?.split(' ') ?? [];

interface Summary {
  totalCruised: number;
  violations: { rule: { name: string }; from: string; to: string }[];
}

/** What dependency-cruiser says of a tree with our rules. */
function cruise(root: string): Summary {
  const tool = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');
  const folders = FOLDERS.filter((folder) => existsSync(join(root, folder)));
  const parts = [tool, ...folders, '--config', join(root, '.dependency-cruiser.mjs'), '--output-type', 'json'];
  const { stdout, stderr } = spawnSync(process.execPath, parts, { cwd: root, encoding: 'utf8', maxBuffer: 64_000_000 });
  if (!stdout.startsWith('{')) throw new Error(stderr);
  return JSON.parse(stdout).summary;
}

test('imports point one way, and all of the code was read', () => {
  expect(FOLDERS).toEqual(expect.arrayContaining(['apps', 'libs', 'db']));
  const { violations, totalCruised } = cruise(ROOT);
  expect(violations).toEqual([]);
  expect(totalCruised).toBeGreaterThan(60);
});

describe('in a tree with forbidden imports', () => {
  let planted: string;
  let summary: Summary;

  /** File → what it imports, and the rule that must notice. */
  const PLANTS: [file: string, imports: string, rule: string | undefined][] = [
    ['libs/kernel/src/base.ts', '', undefined],
    ['libs/platform/src/base.ts', '#kernel/base.js', undefined],
    ['libs/outbox/src/base.ts', '#platform/base.js', undefined],
    ['libs/ledger/src/base.ts', '#outbox/base.js', undefined],
    ['libs/balances/src/base.ts', '#ledger/base.js', undefined],
    ['libs/balances/src/up.ts', '#tenancy/base.js', 'balances-imports-downwards'],
    ['libs/tenancy/src/base.ts', '#ledger/base.js', undefined],
    ['libs/tenancy/src/beside.ts', '#balances/base.js', 'tenancy-imports-downwards'],
    ['libs/limits/src/base.ts', '#outbox/base.js', undefined],
    ['libs/limits/src/up.ts', '#tenancy/base.js', 'limits-imports-downwards'],
    ['libs/limits/src/posted.ts', '#ledger/base.js', 'limits-imports-downwards'],
    ['libs/fees/src/base.ts', '#ledger/base.js', undefined],
    ['libs/fees/src/up.ts', '#tenancy/base.js', 'fees-imports-downwards'],
    ['libs/fees/src/charged.ts', '#settlement/base.js', 'fees-imports-downwards'],
    ['libs/tenancy/src/plan.ts', '#fees/base.js', undefined],
    ['libs/settlement/src/base.ts', '#fees/base.js', undefined],
    ['libs/settlement/src/up.ts', '#payouts/base.js', 'settlement-imports-downwards'],
    ['libs/payouts/src/base.ts', '#settlement/base.js', undefined],
    ['libs/payouts/src/beside.ts', '#tenancy/base.js', 'payouts-imports-downwards'],
    ['libs/reconciliation/src/base.ts', '#payouts/base.js', undefined],
    ['libs/payments/src/held-against.ts', '#reconciliation/base.js', 'payments-imports-downwards'],
    ['libs/reconciliation/src/beside.ts', '#webhooks/up.js', 'reconciliation-imports-downwards'],
    ['libs/payments/src/charged.ts', '#fees/base.js', 'payments-imports-downwards'],
    ['libs/summaries/src/up.ts', '#balances/base.js', 'summaries-imports-downwards'],
    ['libs/webhooks/src/up.ts', '#tenancy/base.js', 'webhooks-imports-downwards'],
    ['libs/payments/src/up.ts', '#tenancy/base.js', 'payments-imports-downwards'],
    ['apps/api/src/base.ts', '#tenancy/base.js', undefined],
    ['libs/kernel/src/up.ts', '#platform/base.js', 'kernel-imports-downwards'],
    ['libs/kernel/src/relative.ts', '../../ledger/src/base.js', 'kernel-imports-downwards'],
    ['libs/kernel/src/reads.ts', 'node:fs', 'kernel-is-pure'],
    ['libs/kernel/src/npm.ts', 'pino', 'kernel-is-pure'],
    ['libs/platform/src/up.ts', '#ledger/base.js', 'platform-imports-downwards'],
    ['libs/outbox/src/up.ts', '#tenancy/base.js', 'outbox-imports-downwards'],
    ['libs/ledger/src/up.ts', '#tenancy/base.js', 'ledger-imports-downwards'],
    ['libs/ledger/src/lost.ts', './nowhere.js', 'no-orphan-import'],
    ['libs/ledger/src/chicken.ts', './egg.js', 'no-circular'],
    ['libs/ledger/src/egg.ts', './chicken.js', undefined],
    ['libs/ledger/src/helped.ts', '../../../test/support/book.js', 'only-specs-import-test-support'],
    ['libs/ledger/src/helped.spec.ts', '../../../test/support/book.js', undefined],
    ['test/support/book.ts', '', undefined],
    ['libs/ledger/src/writing/base.ts', '../duties/base.js', 'ledger-duties-and-verify-are-on-top'],
    ['libs/ledger/src/duties/base.ts', '', undefined],
    ['libs/ledger/src/posting/entries.ts', '#kernel/base.js', undefined],
    ['libs/ledger/src/posting/decide.ts', '../writing/base.js', 'deciding-is-pure'],
    ['libs/ledger/src/posting/parts.ts', 'node:fs', 'deciding-is-pure'],
    ['libs/outbox/src/consumers/base.ts', '../relay/base.js', undefined],
    ['libs/outbox/src/relay/base.ts', '../log/base.js', undefined],
    ['libs/outbox/src/log/base.ts', '', undefined],
    ['libs/outbox/src/log/up.ts', '../relay/base.js', 'outbox-folders-import-downwards'],
    ['libs/outbox/src/relay/up.ts', '../consumers/base.js', 'outbox-folders-import-downwards'],
    ['libs/payments/src/across.ts', '#tenancy/base.js', 'payments-imports-downwards'],
    ['libs/tenancy/src/up.ts', '../../../apps/api/src/base.js', 'libs-do-not-import-apps'],
    ['apps/rooms.ts', '#ledger/base.js', undefined],
    ['apps/api/src/rooms.ts', '../../rooms.js', undefined],
    ['apps/api/src/told.ts', '../../simulators/base.js', undefined],
    ['apps/simulators/base.ts', '', undefined],
    ['apps/worker/src/across.ts', '../../api/src/base.js', 'apps-stand-alone'],
    ['apps/api/src/sql.ts', 'pg', 'only-the-money-path-speaks-pg'],
    ['apps/api/src/type.ts', 'typeorm', 'only-the-money-path-speaks-pg'],
  ];

  beforeAll(() => {
    planted = mkdtempSync(join(tmpdir(), 'counterfoil-imports-'));
    for (const file of ['.dependency-cruiser.mjs', 'package.json', 'tsconfig.json'])
      cpSync(join(ROOT, file), join(planted, file));
    symlinkSync(join(ROOT, 'node_modules'), join(planted, 'node_modules'));
    for (const [file, imports] of PLANTS) {
      mkdirSync(dirname(join(planted, file)), { recursive: true });
      writeFileSync(join(planted, file), imports === '' ? 'export {};\n' : `import '${imports}';\n`);
    }
    summary = cruise(planted);
  });
  afterAll(() => rmSync(planted, { recursive: true }));

  const brokenBy = (file: string): string[] =>
    summary.violations.filter(({ from }) => from === file).map((violation) => violation.rule.name);

  test.each(PLANTS.filter(([, , rule]) => rule !== undefined))(
    '%s, which imports %s, breaks %s',
    (file, _imports, rule) => {
      expect(brokenBy(file)).toContain(rule);
    },
  );

  test.each(PLANTS.filter(([, , rule]) => rule === undefined))('%s breaks no rule', (file) => {
    expect(brokenBy(file)).toEqual([]);
  });

  test('every rule has been seen to notice', () => {
    const noticed = new Set(summary.violations.map(({ rule }) => rule.name));
    expect([...noticed].sort()).toEqual(rules.forbidden?.map(({ name }) => name).sort());
  });
});
