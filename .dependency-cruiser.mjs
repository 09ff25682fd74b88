/** Imports point one way: apps → capabilities → ledger → outbox → platform → kernel. ARCHITECTURE.md has the table. */
const CAPABILITIES = [
  'balances',
  'fees',
  'limits',
  'payments',
  'payouts',
  'reconciliation',
  'settlement',
  'summaries',
  'tenancy',
  'webhooks',
];
/** @param {string} name @param {string[]} known */
const beside = (name, ...known) =>
  CAPABILITIES.filter((capability) => capability !== name && !known.includes(capability));
const ABOVE = {
  kernel: ['platform', 'outbox', 'ledger', ...CAPABILITIES],
  platform: ['outbox', 'ledger', ...CAPABILITIES],
  outbox: ['ledger', ...CAPABILITIES],
  // The writer calls the balance cache through the BalanceFences that ledger itself declares.
  ledger: CAPABILITIES,
  // Limits know nothing of what is limited, nor webhooks of what they tell.
  limits: ['ledger', ...beside('limits')],
  // Capabilities know the ledger, not each other; but payouts pay out what was settled, settlements charge fees, a merchant is
  // opened with its plan and its first day, and reconciliation holds all of them against what others tell.
  balances: beside('balances'),
  summaries: beside('summaries'),
  tenancy: beside('tenancy', 'fees', 'settlement'),
  fees: beside('fees'),
  settlement: beside('settlement', 'fees'),
  payouts: beside('payouts', 'fees', 'settlement'),
  payments: beside('payments'),
  reconciliation: beside('reconciliation', 'balances', 'fees', 'payments', 'payouts', 'settlement', 'tenancy'),
  webhooks: ['ledger', ...beside('webhooks')],
};

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-orphan-import', severity: 'error', from: {}, to: { couldNotResolve: true } },
    ...Object.entries(ABOVE).map(([from, above]) => ({
      name: `${from}-imports-downwards`,
      severity: /** @type {const} */ ('error'),
      from: { path: `^libs/${from}/` },
      to: { path: `^libs/(${above.join('|')})/` },
    })),
    {
      name: 'deciding-is-pure',
      severity: 'error',
      comment: 'What decides a posting asks nobody: kernel, accounts as values, and its own folder.',
      from: { path: '^libs/ledger/src/posting/(adjust|command|decide|entries|parts|transaction)\\.ts$' },
      to: {
        pathNot:
          '^libs/(kernel/|ledger/src/(posting/(adjust|command|decide|entries|parts|transaction)|accounts/account)\\.ts$)',
      },
    },
    {
      name: 'ledger-duties-and-verify-are-on-top',
      severity: 'error',
      from: { path: '^libs/ledger/src/(accounts|posting|reading|writing)/' },
      to: { path: '^libs/ledger/src/(duties|verify)/' },
    },
    {
      name: 'outbox-folders-import-downwards',
      severity: 'error',
      comment: 'Consumers and dead letters stand on the relay, all of them on the log.',
      from: { path: '^libs/outbox/src/(log|relay)/' },
      to: {
        path: '^libs/outbox/src/(dead-letters|relay|consumers/(?!consumer\\.ts$))',
        pathNot: '^libs/outbox/src/$1/',
      },
    },
    { name: 'libs-do-not-import-apps', severity: 'error', from: { path: '^libs/' }, to: { path: '^(apps|bench)/' } },
    {
      name: 'only-specs-import-test-support',
      severity: 'error',
      from: { path: '^(apps|libs|db)/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^test/' },
    },
    {
      name: 'apps-stand-alone',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/($1/|simulators/|(rooms|config)\\.ts$)' },
    },
    {
      name: 'kernel-is-pure',
      severity: 'error',
      from: { path: '^libs/kernel/', pathNot: '\\.spec\\.ts$' },
      to: { dependencyTypes: ['core', 'npm'], pathNot: 'dinero\\.js' },
    },
    {
      name: 'only-the-money-path-speaks-pg',
      severity: 'error',
      comment: 'SQL lives in stores; controllers and processes go through commands and queries.',
      from: { path: '^apps/' },
      to: { path: 'node_modules/(pg|typeorm)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['source', 'import', 'node', 'default'] },
  },
};
