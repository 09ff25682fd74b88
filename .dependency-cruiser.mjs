/** Imports point one way: apps → capabilities → ledger → outbox → platform → kernel. ARCHITECTURE.md has the table. */
const CAPABILITIES = ['balances', 'summaries', 'tenancy', 'webhooks'];
/** @param {string} name */
const beside = (name) => CAPABILITIES.filter((capability) => capability !== name);
const ABOVE = {
  kernel: ['platform', 'outbox', 'ledger', ...CAPABILITIES],
  platform: ['outbox', 'ledger', ...CAPABILITIES],
  outbox: ['ledger', ...CAPABILITIES],
  // The writer calls the balance cache through the BalanceFences that ledger itself declares.
  ledger: CAPABILITIES,
  // tenancy seeds system accounts and is otherwise nobody's; capabilities know the ledger, not each other.
  balances: beside('balances'),
  summaries: beside('summaries'),
  webhooks: beside('webhooks'),
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
      to: { path: '^apps/', pathNot: '^apps/($1/|(rooms|config)\\.ts$)' },
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
