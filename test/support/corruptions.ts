/** The id of what was posted under a key of the book in verify.test.ts. */
const OF_KEY = (key: string): string =>
  `(SELECT transaction_id FROM idempotency_keys WHERE key = '${key}' ORDER BY merchant_id LIMIT 1)`;
/** The same of what an extension answered. */
const OF_ADJUSTMENT = (key: string): string =>
  `(SELECT (response ->> 'id')::bigint FROM idempotency_keys WHERE key = '${key}' ORDER BY merchant_id LIMIT 1)`;
const ENTRY_OF = (key: string): string => `transaction_id = ${OF_KEY(key)} AND direction = 1`;

const TOTALS = ['posted_debits', 'posted_credits', 'pending_debits', 'pending_credits'];
/** An event of a posting with other members. */
const TOLD = (key: string, members: object): string =>
  `UPDATE events SET data = (data::jsonb || '${JSON.stringify(members)}')::json WHERE data ->> 'transaction_id' = ${OF_KEY(key)}::text`;
/** Copies of events with another type, or other members. */
const COPIED = (where: string, { type = 'type', data = 'data' }): string =>
  `INSERT INTO events (merchant_id, type, version, occurred_at, data) SELECT merchant_id, ${type}, version, occurred_at, ${data} FROM events WHERE ${where}`;

/** What somebody with a superuser's rights did, the check that must tell it, and the row that it must name. */
export const CORRUPTIONS: { title: string; sql: string; check: RegExp; names?: string }[] = [
  {
    title: 'an entry of another amount',
    sql: `UPDATE entries SET posted_amount = posted_amount + 1 WHERE ${ENTRY_OF('funding')}`,
    check: /^I1/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a hold of another amount',
    sql: `UPDATE entries SET pending_amount = pending_amount + 1 WHERE ${ENTRY_OF('held')}`,
    check: /^I1/,
    names: OF_KEY('held'),
  },
  { title: 'an entry deleted', sql: `DELETE FROM entries WHERE ${ENTRY_OF('late')}`, check: /without a gap/ },
  {
    title: 'a transaction without its entries',
    sql: `DELETE FROM entries WHERE transaction_id = ${OF_KEY('reversed')}`,
    check: /^every transaction has its entries/,
    names: OF_KEY('reversed'),
  },
  ...TOTALS.map((total) => ({
    title: `running ${total} that are off`,
    sql: `UPDATE entries SET ${total} = ${total} + 1 WHERE ${ENTRY_OF('late')}`,
    check: /^running totals/,
    names: OF_KEY('late'),
  })),
  ...TOTALS.map((total) => ({
    title: `a balance whose ${total} are off`,
    sql: `UPDATE balances SET ${total} = ${total} + 1 WHERE version > 0`,
    check: /^I2: every balance/,
  })),
  {
    title: 'a balance of another version',
    sql: `UPDATE balances SET version = version + 1 WHERE version > 0`,
    check: /^I2: every balance/,
  },
  {
    title: 'a balance that forgot its newest transaction',
    sql: `UPDATE balances SET last_transaction_id = 0 WHERE version > 0`,
    check: /^I2: every balance/,
  },
  { title: 'a balance deleted', sql: `DELETE FROM balances WHERE version > 0`, check: /^I2: every balance/ },
  {
    title: 'the newest entries cut off',
    sql: `DELETE FROM entries e USING balances b WHERE e.account_id = b.account_id AND e.account_version = b.version`,
    check: /^I2: every balance/,
  },
  {
    title: 'a floor that was not kept',
    sql: `UPDATE accounts SET min_available = 0 WHERE code = 'cash'; UPDATE accounts SET normal_side = -1 WHERE code = 'cash'`,
    check: /^I2: nobody/,
  },
  ...['cash', 'payable'].map((code) => ({
    title: `a floor of ${code} that a hold broke`,
    sql: `UPDATE accounts SET min_available = 800 WHERE code = '${code}'`,
    check: /^I2: nobody/,
    names: OF_KEY('held'),
  })),
  {
    title: 'a floor that nobody was allowed to ignore',
    sql: `UPDATE transactions SET ignored_floor = false WHERE id = ${OF_KEY('chargeback')}`,
    check: /^I2: nobody/,
    names: OF_KEY('chargeback'),
  },
  {
    title: 'a transaction deleted',
    sql: `DELETE FROM transactions WHERE id = ${OF_KEY('funding')}`,
    check: /^every transaction has its entries/,
    names: OF_KEY('funding'),
  },
  {
    title: 'legs that point elsewhere',
    sql: `UPDATE transactions SET legs[2] = legs[2] + 1 WHERE id = ${OF_KEY('funding')}`,
    check: /^every transaction has its entries/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a transaction of another amount',
    sql: `UPDATE transactions SET amount = amount + 1 WHERE id = ${OF_KEY('funding')}`,
    check: /^amounts, types/,
    names: OF_KEY('funding'),
  },
  ...['authorised', 'adjusted'].map((key) => ({
    title: `an adjustment of another amount, ${key}`,
    sql: `UPDATE transactions SET amount = amount + 1 WHERE id = ${OF_ADJUSTMENT(key)}`,
    check: /^amounts, types/,
    names: OF_ADJUSTMENT(key),
  })),
  {
    title: 'an adjustment of another hold',
    sql: `UPDATE entries SET pending_amount = pending_amount + 1 WHERE transaction_id = ${OF_ADJUSTMENT('adjusted')} AND direction = 1`,
    check: /^I1/,
    names: OF_ADJUSTMENT('adjusted'),
  },
  {
    title: 'a transaction moved in time',
    sql: `UPDATE transactions SET effective_at = effective_at - interval '1 day' WHERE id = ${OF_KEY('funding')}`,
    check: /^amounts, types/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a transaction of another type',
    sql: `UPDATE transactions SET type = 'gift' WHERE id = ${OF_KEY('funding')}`,
    check: /^amounts, types/,
    names: OF_KEY('funding'),
  },
  ...[
    ['a capture that says it is a void', 'captured', `kind = 'void'`],
    ['a capture that says it is an expiry', 'captured', `kind = 'expiry'`],
    ['a posting that says it is a capture', 'funding', `kind = 'capture', parent_id = 17`],
    ['a posting that says it is a hold', 'funding', `kind = 'pending'`],
  ].map(([title = '', key = '', change]) => ({
    title,
    sql: `UPDATE transactions SET ${change} WHERE id = ${OF_KEY(key)}`,
    check: /^amounts, types/,
    names: OF_KEY(key),
  })),
  {
    title: 'a hold that says it was posted',
    sql: `UPDATE transactions SET kind = 'posted' WHERE id = ${OF_KEY('held')}`,
    check: /^amounts, types/,
    names: OF_KEY('held'),
  },
  {
    title: 'an entry in another currency',
    sql: `UPDATE entries SET currency = 'USD' WHERE transaction_id = ${OF_KEY('funding')}`,
    check: /^entries are in the currency/,
  },
  {
    title: 'a capture of nothing',
    sql: `UPDATE transactions SET parent_id = 1 WHERE id = ${OF_KEY('captured')}`,
    check: /^parents exist/,
    names: OF_KEY('captured'),
  },
  ...(
    [
      ['a capture of a posting', 'captured', 'funding'],
      ['a capture of a hold that came later', 'captured', 'several'],
      ['a reversal of a hold', 'refund', 'held'],
      ['a reversal of an adjustment', 'refund', 'adjusted', OF_ADJUSTMENT],
      ['a capture of an adjustment', 'captured', 'authorised', OF_ADJUSTMENT],
    ] as const
  ).map(([title, key, parent, of = OF_KEY]) => ({
    title,
    sql: `UPDATE transactions SET parent_id = ${of(parent)} WHERE id = ${OF_KEY(key)}`,
    check: /^parents exist/,
    names: OF_KEY(key),
  })),
  {
    title: 'a hold with more left than was not captured',
    sql: `UPDATE transaction_states SET remaining = remaining + 1 WHERE transaction_id = ${OF_KEY('held')}`,
    check: /^states are/,
    names: OF_KEY('held'),
  },
  {
    title: 'a hold that says it is whole',
    sql: `UPDATE transaction_states SET status = 'pending' WHERE transaction_id = ${OF_KEY('held')}`,
    check: /^states are/,
    names: OF_KEY('held'),
  },
  {
    title: 'a hold that is due at another time',
    sql: `UPDATE due_rows SET due_at = due_at + interval '1 ms' WHERE subject_id = ${OF_KEY('held')}`,
    check: /^every hold that is to end at a time/,
    names: OF_KEY('held'),
  },
  {
    title: 'a hold that is never due',
    sql: `DELETE FROM due_rows WHERE subject_id = ${OF_KEY('held')}`,
    check: /^every hold that is to end at a time/,
    names: OF_KEY('held'),
  },
  {
    title: 'a hold that ended and is still due',
    sql: `INSERT INTO due_rows (merchant_id, kind, subject_id, due_at, try_at)
          SELECT merchant_id, 'hold expiry', transaction_id, '2100-01-01Z', '2100-01-01Z' FROM transaction_states WHERE status = 'voided'`,
    check: /^every hold that is to end at a time/,
  },
  {
    title: 'a voided hold that says it expired',
    sql: `UPDATE transaction_states SET status = 'expired' WHERE status = 'voided'`,
    check: /^states are/,
  },
  {
    title: 'a reversal forgotten',
    sql: `UPDATE transaction_states SET reversed = 0 WHERE transaction_id = ${OF_KEY('reversed')}`,
    check: /^states are/,
    names: OF_KEY('reversed'),
  },
  {
    title: 'an entry with more left, another with less',
    sql: `UPDATE transaction_states SET left_amounts = ARRAY[left_amounts[1], left_amounts[2] - 1, left_amounts[3] + 1]
           WHERE transaction_id = ${OF_KEY('several')}`,
    check: /^states are/,
    names: OF_KEY('several'),
  },
  {
    title: 'a bounced refund that did not give back',
    sql: `UPDATE transaction_states SET left_amounts = '{0,0}', reversed = 30 WHERE transaction_id = ${OF_KEY('sold')}`,
    check: /^states are/,
    names: OF_KEY('sold'),
  },
  {
    title: 'a state lost',
    sql: `DELETE FROM transaction_states WHERE transaction_id = ${OF_KEY('held')}`,
    check: /^states are/,
    names: OF_KEY('held'),
  },
  {
    title: 'a state of nothing',
    sql: `INSERT INTO transaction_states SELECT merchant_id, transaction_id, 'posted', 0, 1, '{999,999}' FROM idempotency_keys WHERE key = 'funding'`,
    check: /^states are/,
    names: OF_KEY('funding'),
  },
  {
    title: 'two keys for one transaction',
    sql: `INSERT INTO idempotency_keys SELECT merchant_id, 'second', request_sha256, status, transaction_id FROM idempotency_keys WHERE key = 'funding'`,
    check: /^I4/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a key and a batch for one transaction',
    sql: `INSERT INTO idempotency_keys SELECT merchant_id, 'batch', request_sha256, 200, NULL, json_build_array(transaction_id::text)
            FROM idempotency_keys WHERE key = 'funding'`,
    check: /^I4/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a key without its transaction',
    sql: `UPDATE idempotency_keys SET transaction_id = 17 WHERE key = 'funding'`,
    check: /^I4/,
  },
  {
    title: 'a batch key without its transaction',
    sql: `UPDATE idempotency_keys SET transaction_id = NULL, response = '["17"]' WHERE key = 'funding'`,
    check: /^I4/,
  },
  ...TOTALS.map((total) => ({
    title: `a back-dated adjustment whose ${total} are off`,
    sql: `UPDATE late_sums SET ${total} = ${total} + 1 WHERE level = 2`,
    check: /^sums and versions of late/,
  })),
  {
    title: 'the version of a back-dated adjustment',
    sql: `UPDATE late_sums SET newest_version = newest_version + 1 WHERE level = 2 AND newest_version > 0`,
    check: /^sums and versions of late/,
  },
  {
    title: 'a back-dated adjustment lost',
    sql: `DELETE FROM late_sums WHERE level = 0`,
    check: /^sums and versions of late/,
  },
  {
    title: 'a back-dated adjustment of nothing',
    sql: `INSERT INTO late_sums SELECT merchant_id, id, 0, 1, 1, 1, 0, 0 FROM accounts`,
    check: /^sums and versions of late/,
  },
  {
    title: 'a created_at that is not that of the id',
    sql: `ALTER TABLE transactions DROP CONSTRAINT transactions_check; UPDATE transactions SET created_at = created_at + interval '1 millisecond' WHERE id = ${OF_KEY('funding')}`,
    check: /^created_at/,
    names: OF_KEY('funding'),
  },
  ...['account', 'merchant'].map((what) => ({
    title: `a created_at that is not that of the ${what}`,
    sql: `ALTER TABLE ${what}s DROP CONSTRAINT ${what}s_check; UPDATE ${what}s SET created_at = created_at + interval '1 millisecond'`,
    check: /^created_at/,
    names: `'${what} ' || (SELECT min(id) FROM ${what}s)`,
  })),
  {
    title: 'ids against the versions',
    sql: `UPDATE entries SET transaction_id = 17 WHERE ${ENTRY_OF('reversed')}`,
    check: /^ids ascend/,
  },
  {
    title: 'an event lost',
    sql: `DELETE FROM events WHERE data ->> 'transaction_id' = ${OF_KEY('funding')}::text`,
    check: /^every transaction is told/,
    names: OF_KEY('funding'),
  },
  {
    title: 'an event told twice',
    sql: `INSERT INTO events (merchant_id, type, version, occurred_at, data) SELECT merchant_id, type, version, occurred_at, data FROM events WHERE data ->> 'transaction_id' = ${OF_KEY('funding')}::text`,
    check: /^every transaction is told/,
    names: OF_KEY('funding'),
  },
  {
    title: 'an event with another amount',
    sql: `UPDATE events SET data = replace(data::text, '"posted":"1000"', '"posted":"1001"')::json`,
    check: /^every transaction is told/,
    names: OF_KEY('funding'),
  },
  {
    title: 'an event of another type',
    sql: `UPDATE events SET type = 'transaction.pending' WHERE data ->> 'transaction_id' = ${OF_KEY('funding')}::text`,
    check: /^every transaction is told/,
    names: OF_KEY('funding'),
  },
  ...[
    { metadata: { case: 8 } },
    { external_ref: 'cc' },
    { ignored_floor: false },
    { kind: 'reversal' },
    { amount: '1' },
    { currency: 'USD' },
    { parent_id: '17' },
    { effective_at: '2026-01-01T00:00:00Z' },
  ].map((members) => ({
    title: `an event that tells ${Object.keys(members)} otherwise`,
    sql: TOLD('chargeback', members),
    check: /^every transaction is told/,
    names: OF_KEY('chargeback'),
  })),
  {
    title: 'an adjustment whose event tells another hold',
    sql: `UPDATE events SET data = replace(data::text, '"pending":"80"', '"pending":"81"')::json`,
    check: /^every transaction is told/,
    names: OF_ADJUSTMENT('authorised'),
  },
  {
    title: 'a posting that says it is an adjustment',
    sql: `UPDATE transactions SET kind = 'adjustment' WHERE id = ${OF_KEY('funding')}`,
    check: /^every transaction is told/,
    names: OF_KEY('funding'),
  },
  {
    title: 'an event of no transaction',
    sql: COPIED(`data ->> 'transaction_id' = ${OF_KEY('funding')}::text`, {
      data: `(data::jsonb || '{"transaction_id":"17"}')::json`,
    }),
    check: /^every transaction is told/,
    names: `'17'`,
  },
  {
    title: 'an account without its event',
    sql: `DELETE FROM events WHERE type = 'account.created'`,
    check: /^every account/,
  },
  {
    title: 'an account opened twice',
    sql: COPIED(`type = 'account.created'`, {}),
    check: /^every account/,
  },
  {
    title: 'an event of no account',
    sql: COPIED(`type = 'account.created'`, { data: `'{"account_id":"17"}'` }),
    check: /^every account/,
    names: `'17'`,
  },
  {
    title: 'an empty account without a balance',
    sql: 'DELETE FROM balances WHERE version = 0',
    check: /^every account/,
  },
  { title: 'an account closed by hand', sql: `UPDATE balances SET closed = true`, check: /^every account/ },
  ...[
    ['money', 'posted_debits = posted_credits + 1, pending_debits = 0, pending_credits = 0'],
    ['held debits', 'posted_debits = posted_credits, pending_debits = 1, pending_credits = 0'],
    ['held credits', 'posted_debits = posted_credits, pending_debits = 0, pending_credits = 1'],
  ].map(([what, totals]) => ({
    title: `an account closed over ${what}`,
    sql: `UPDATE balances SET closed = true, ${totals} WHERE NOT closed;
      ${COPIED(`type = 'account.created' AND (data ->> 'account_id')::bigint NOT IN (SELECT id FROM accounts WHERE code = 'closed')`, { type: `'account.closed'` })}`,
    check: /^every account/,
  })),
];
