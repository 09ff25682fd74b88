/** Faults derived from the SQL in our sources by rule: what a hand that slips would write. */

/** Which tests hold a file with SQL; the first pattern that fits. @type {[RegExp, string[]][]} */
export const HELD_BY = [
  [/ledger\/src\/accounts\/flawed-system-accounts/, ['system-accounts']],
  [/ledger\/src\/\w+\/(account-store|account-directory|system-accounts)/, ['account-directory', 'accounts', 'lists']],
  [/ledger\/src\/\w+\/merchant-day/, ['daily-summaries', 'transaction-facts']],
  [/ledger\/src\/\w+\/balance-store/, ['lists', 'contract', 'balance-at']],
  [/ledger\/src\/\w+\/purge|platform\/src\/merchant-pages/, ['duties']],
  [/ledger\/src\/\w+\/group-store/, ['contract', 'transaction-facts', 'balance-at', 'concurrency', 'faults']],
  [/ledger\/src\/\w+\/back-dated-adjustments/, ['back-dated-adjustments', 'balance-at']],
  [/ledger\/src\/\w+\/transaction-(store|list)/, ['lists', 'contract', 'transaction-facts']],
  [/(ledger\/src\/verify|summaries\/src\/checks)/, ['verify']],
  [/balances\/src\/(monitor-store|load-balances)/, ['balance-monitor', 'balance-cache']],
  [/balances\/src\//, ['balance-invalidation', 'balance-sweep']],
  [/limits\/src\/usage\//, ['usage']],
  [/limits\/src\//, ['limits']],
  [/outbox\/src\/dead-letters\//, ['dead-letters', 'dead-letter-routes', 'outbox']],
  [/outbox\/src\/log\/event-log/, ['events', 'event-order', 'outbox']],
  [/outbox\/src\/(log\/retention|consumers\/forget-consumer)/, ['event-retention', 'retention-holds']],
  [/outbox\/src\/relay\/xmin-monitor/, ['outbox-versions']],
  [/outbox\/src\//, ['outbox', 'outbox-plans', 'consumer-claims', 'relay-locks']],
  [/platform\/src\/due-rows/, ['due-rows', 'duties']],
  [/platform\/src\/idempotency/, ['idempotency']],
  [/platform\/src\/worker-lease/, ['worker-lease']],
  [/platform\/src\//, ['grants', 'pool', 'refusals']],
  [/summaries\/src\//, ['daily-summaries', 'rebuild']],
  [/tenancy\/src\//, ['tenancy', 'authenticator', 'isolation']],
  [/webhooks\/src\//, ['webhook-routes', 'webhooks', 'webhook-leases']],
];

/** @param {string} file @returns {string[]} */
export function testsOf(file) {
  const names = HELD_BY.find(([pattern]) => pattern.test(file))?.[1] ?? [];
  return names.map((name) => `test/${name}.test.ts`);
}

/** Each match is one fault. @type {[name: string, pattern: RegExp, replace: string | ((match: string) => string)][]} */
const RULES = [
  [
    'a condition is gone',
    / AND (?:NOT )?[\w.]+ (?:=|<=?|>=?|<>|IS(?: NOT)? NULL|IS(?: NOT)? DISTINCT FROM)(?: [\w.$:]+(?:\(\))?)?(?= AND |\n| ORDER| LIMIT| FOR |`|\))/g,
    '',
  ],
  ['the only condition is gone', / WHERE [\w.]+ = \$\d+(?=\n| ORDER| LIMIT| FOR |`|\))/g, ''],
  [
    'a bound moves',
    /(?<=[\w)\]] )(?:<=|>=|<|>)(?= [\w($])/g,
    (match) => ({ '<=': '<', '<': '<=', '>=': '>', '>': '>=' })[match] ?? match,
  ],
  ['the order is turned', / DESC\b/g, ''],
  ['there is no order', / ORDER BY [\w., ()$:]+?(?: DESC)?(?= LIMIT| FOR |\)|\n|`)/g, ''],
  ['one row too many', /\bLIMIT \$\d+/g, (match) => `${match} + 1`],
  ['nothing is locked', / FOR (?:NO KEY UPDATE|UPDATE|SHARE|KEY SHARE)(?: OF \w+)?/g, ''],
  [
    'the other end',
    /\b(?:min|max|least|greatest)\(/g,
    (match) => ({ 'min(': 'max(', 'max(': 'min(', 'least(': 'greatest(', 'greatest(': 'least(' })[match] ?? match,
  ],
  ['the wrong sign', /(?<=[\w)] )[+-](?= [\w($])/g, (match) => (match === '+' ? '-' : '+')],
  ['the other column', /\b(?:posted|pending|debit|credit)_(?:debits|credits|count|amount)\b/g, otherColumn],
];

/** @param {string} column */
function otherColumn(column) {
  if (/^p.*_amount$/.test(column)) return column.startsWith('posted') ? 'pending_amount' : 'posted_amount';
  if (/s$/.test(column))
    return column.endsWith('debits') ? column.replace('debits', 'credits') : column.replace('credits', 'debits');
  return column.startsWith('debit') ? column.replace('debit', 'credit') : column.replace('credit', 'debit');
}

const IS_SQL = /\b(SELECT|INSERT INTO|UPDATE \w+|DELETE FROM)\b/;

/**
 * @param {string} file @param {string} source
 * @returns {{ file: string, rule: string, line: number, was: string, content: string }[]}
 */
export function faultsOf(file, source) {
  return [...source.matchAll(/`[^`]*`/g)].flatMap(({ 0: sql, index }) =>
    IS_SQL.test(sql)
      ? RULES.flatMap(([rule, pattern, replace]) =>
          [...sql.matchAll(pattern)].map((match) => {
            const at = index + match.index;
            const by = typeof replace === 'string' ? replace : replace(match[0]);
            const content = source.slice(0, at) + by + source.slice(at + match[0].length);
            const line = source.slice(0, at).split('\n').length;
            return { file, rule, line, was: match[0].trim(), content };
          }),
        )
      : [],
  );
}
